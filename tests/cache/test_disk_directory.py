"""Whose directory it is: nothing of anybody else's is ever touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from parparchik.cache.disk import DiskStore
from parparchik.errors import ConfigError
from tests.cache.disks import MIB, piece, put, running


async def start_on(directory: Path) -> None:
    async with running(directory):
        pass


def tree(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


async def refusal(directory: Path) -> str:
    """What the operator is told."""
    disk = DiskStore(directory, MIB, setting="PARPARCHIK_CACHE_DIR")
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConfigError) as caught:
            await nursery.start(disk.run)
    assert f"PARPARCHIK_CACHE_DIR={directory}: " in str(caught.value)
    return str(caught.value)


async def test_a_new_or_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mounted" / "lost+found").mkdir(parents=True)
    for directory in ("empty", "mounted", "new/below/new"):
        await start_on(tmp_path / directory)
        tag = (tmp_path / directory / "CACHEDIR.TAG").read_bytes()
        assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
        await start_on(tmp_path / directory)


async def test_a_directory_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ab" / "cd").mkdir(parents=True)
    (tmp_path / "ab" / "cd" / ("abcd" + "0" * 60)).write_text("precious")
    before = tree(tmp_path)
    assert "holds files that are not a cache's" in await refusal(tmp_path)
    assert tree(tmp_path) == before


async def test_another_programs_cache_is_refused(tmp_path: Path) -> None:
    tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag\n"
    (tmp_path / "CACHEDIR.TAG").write_text(tag)
    assert "not a cache's" in await refusal(tmp_path)
    (tmp_path / "CACHEDIR.TAG").write_text("Signature: 8a")
    (tmp_path / "data").write_text("precious")
    assert "not a cache's" in await refusal(tmp_path)
    assert tree(tmp_path) == {tmp_path / "CACHEDIR.TAG", tmp_path / "data"}


@pytest.mark.parametrize("tag", ["", "Signature: 8a"])
async def test_a_claim_that_was_broken_off_goes_on(tmp_path: Path, tag: str) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "CACHEDIR.TAG").write_text(tag)
    async with running(tmp_path) as disk:
        await put(disk, "a", b"data")
    async with running(tmp_path) as disk:
        assert disk.statistics().files == 1


async def test_what_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    await refusal(tmp_path / "file")
    await refusal(tmp_path / "file" / "below")


async def test_two_never_share_one(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        assert "another process uses it" in await refusal(tmp_path)
        known = await put(disk, "a", b"data")
        assert disk.has(piece("a"), known)
    await start_on(tmp_path)


PROGRAM = """
import subprocess, sys, trio
from pathlib import Path
from parparchik.cache.disk import DiskStore
async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(DiskStore(Path(sys.argv[1]), 1 << 20).run)
        child = subprocess.Popen(["sleep", "30"], close_fds=False, stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """One that uses the directory, and has a child that outlives it."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    child = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while not child.strip().isdigit():  # there may be lines of the log before
                child = process.stdout.readline()
                assert child
            yield process
        finally:
            process.kill()
            if child:
                os.kill(int(child), signal.SIGKILL)


async def test_the_lock_ends_with_the_process(
    tmp_path: Path, other_process: subprocess.Popen[str]
) -> None:
    assert "another process uses it" in await refusal(tmp_path)
    other_process.kill()
    other_process.wait()
    await start_on(tmp_path)
