"""Does one thing to a store that outlives it, and is killed after a step of it.

    python -m tests.dedup.crash_child

Reads lines of JSON, `{"directory", "memory_bytes", "act", "kill"}`, forks for each, and answers
with what became of the child: -9 when it was killed. Uploads of more than `memory_bytes` are large:
they claim what they store; with SOON no task stores any. `kill` is the step after which that
happens, `operation/name/n` for the n-th time; or `s3/POINT/n`, where `at` of FakeBytes has it; ''
for never.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog
import trio

from parparchik.dedup.keys import Keys
from parparchik.errors import UpstreamError
from tests.dedup.bed import DAY_S, Bed, hint, limits_of
from tests.dedup.disk_bytes import disk_bytes
from tests.dedup.metadata_stores import opened_sqlite
from tests.fakes_bytes import BytesAsked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIRST = b"what a had first " * 400
OLD = b"what a has " * 400
SHARED = b"what others have, too " * 400
NEW = b"what comes " * 400
FAR_S = 10 * DAY_S
LARGE, SMALL, SOON = 10, 1 << 20, 2 << 20  # of `memory_bytes`: what all uploads are by it

BEFORE = MappingProxyType({"a": OLD, "b/c": SHARED, "b/d": SHARED, "empty": b""})


async def new(bed: Bed) -> None:
    await bed.put("new", NEW, 5)


async def overwrite(bed: Bed) -> None:
    await bed.put("a", NEW, 5)


async def overwrite_gzip(bed: Bed) -> None:
    await bed.put("a", NEW, 5, gzip=True)


async def duplicate(bed: Bed) -> None:
    await bed.put("new", OLD, 5)


async def straight(bed: Bed) -> None:
    await bed.put("a", NEW, 5, gzip=True, expected=hint(NEW))


async def hinted_duplicate(bed: Bed) -> None:
    await bed.put("a", SHARED, 5, gzip=True, expected=hint(SHARED))


async def delete(bed: Bed) -> None:
    await bed.store.delete("a", 5)


async def delete_shared(bed: Bed) -> None:
    await bed.store.delete("b/c", 5)


async def clean(bed: Bed) -> None:
    bed.late_s = FAR_S
    await bed.cleaner().clean()


async def heal(bed: Bed) -> None:
    file = await bed.store.stat("a")
    assert file is not None
    bed.bucket.objects.pop(file.blob.key, None)
    with suppress(UpstreamError):
        await bed.get("a")
    await bed.put("a", OLD, 5)


ACTS: MappingProxyType[str, Callable[[Bed], Awaitable[None]]] = MappingProxyType(
    {
        act.__name__: act
        for act in (
            *(new, overwrite, overwrite_gzip, duplicate, straight, hinted_duplicate),
            *(delete, delete_shared, clean, heal),
        )
    }
)


@asynccontextmanager
async def reopened(directory: Path, memory_bytes: int = LARGE) -> AsyncIterator[Bed]:
    """For `async with` of a test only."""
    async with opened_sqlite(directory, Keys()) as metadata:
        bed = Bed(metadata, disk_bytes(directory / "s3"), limits_of(memory_bytes))
        async with trio.open_nursery() as nursery:
            await nursery.start(bed.store.run)
            yield bed
            nursery.cancel_scope.cancel()


async def prepare(directory: Path) -> None:
    """The files of BEFORE; an orphan; and objects that nobody knows of."""
    async with reopened(directory) as bed:
        await bed.put("a", FIRST, 1)
        for path, data in BEFORE.items():
            await bed.put(path, data, 2)
        for number in range(3):
            bed.bucket.put(bed.key(b"%d" % number), b"left behind")


async def play(directory: Path, memory_bytes: int, act: str, kill: str) -> None:
    happened: dict[str, int] = {}

    def happens(what: str) -> None:
        happened[what] = happened.get(what, 0) + 1
        if f"{what}/{happened[what]}" == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    async def at(point: str, asked: BytesAsked) -> None:
        happens(f"s3/{point}")

    Bed.is_soon = memory_bytes == SOON
    async with reopened(directory, memory_bytes) as bed:
        bed.on_step = lambda operation, name: happens(f"{operation}/{name}")
        bed.bucket.at = at
        await ACTS[act](bed)


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                directory, memory_bytes = Path(asked["directory"]), asked["memory_bytes"]
                trio.run(play, directory, memory_bytes, asked["act"], asked["kill"])
            except BaseException:  # noqa: BLE001  it must not go on as a second parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
