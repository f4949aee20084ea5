"""Processes of our own: started, read in /proc, ended."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import pytest
import trio

from bench.local import (
    Processors,
    StartFailed,
    ask,
    make_certificate,
    share_out,
    start,
    start_rclone,
    start_stand_in,
)
from bench.processes import environment
from bench.stand_in import BucketSpec, key_of

BUSY = "while True: pass"
SLEEPY = "import time; time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_processor_time_is_that_of_descendants_too() -> None:
    async with start(python(PARENT), environment()) as running:
        with trio.fail_after(20):
            while running.cpu_s() < 0.3:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.02)
        assert running.resident_bytes() > 1 << 20


async def test_it_runs_where_it_is_pinned() -> None:
    cpu = min(os.sched_getaffinity(0))
    async with start(python(SLEEPY), environment(), [cpu]) as running:
        with trio.fail_after(20):
            while os.sched_getaffinity(running.pid) != {cpu}:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.02)


async def test_one_that_has_ended_says_its_last_words() -> None:
    async with start(python("import sys; sys.exit('no such setting')"), environment()) as running:
        await running.process.wait()
        with pytest.raises(StartFailed, match="no such setting"):
            running.check()


async def test_none_outlives_its_block() -> None:
    async with start(python(SLEEPY), environment()) as running:
        running.check()
    assert running.process.returncode == -15


async def test_nor_does_what_it_has_started() -> None:
    async with start(python(PARENT), environment()) as running:
        with trio.fail_after(20):
            while running.cpu_s() < 0.3:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.02)
        group = running.pid
    with trio.fail_after(20):
        while exists(group):  # noqa: ASYNC110  a killed one has yet to be collected by init
            await trio.sleep(0.02)


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_processors_are_shared_out() -> None:
    available = os.sched_getaffinity(0)
    shared = share_out()
    if len(available) > 1:
        assert {*shared.server, *shared.load} == available
        assert len(shared.server) == 1
        assert not {*shared.server} & {*shared.load}
        assert f"server on CPU {shared.server[0]}" in shared.describe()
    assert share_out(pin=False) == Processors()
    assert "nothing pinned" in Processors().describe()


@pytest.mark.parametrize("start_s3", [start_stand_in, start_rclone])
async def test_either_s3_has_the_objects(start_s3: type) -> None:
    async with start_s3([BucketSpec("bench", 3, first=2)]) as (port, running):
        running.check()
        for number, status in ((1, 404), (2, 200), (4, 200), (5, 404)):
            assert (await ask(port, f"/bench/{key_of(number)}", method="HEAD"))[0] == status


async def test_rclone_is_not_filled_with_millions() -> None:
    with pytest.raises(StartFailed, match="more objects"):
        async with start_rclone([BucketSpec("bench", 1_000_000)]):
            raise AssertionError("it was")


async def test_a_certificate_is_good_for_this_machine(tmp_path: Path) -> None:

    certificate, key = await make_certificate(tmp_path)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    ssl.create_default_context(cafile=certificate)
