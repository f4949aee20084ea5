"""Disks that are full, broken, read-only or someone else's by now: real ones, in a few kilobytes of
memory."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict
from trio.testing import MockClock

from parparchik.cache.disk import DiskStore
from tests.cache.disks import (
    MIB,
    content,
    load,
    name,
    piece,
    piece_files,
    put,
    record,
    running,
    until_rebuilt,
)

LARGE = record(300_000, slice_bytes=MIB)
DATA = content("large", 300_000)


class SmallDisk:
    """A file system of one megabyte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "lost+found"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def empty(self) -> None:
        self._ballast.write_bytes(b"")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("needs root, to mount a file system of one megabyte")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True)


async def save(disk: DiskStore, key: str) -> bool:
    return await disk.save(piece(key), LARGE, [DATA])


def warnings(logs: list[EventDict]) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] != "info"]


async def test_a_disk_that_is_full_before_its_budget_keeps_what_was_used_last(
    small_disk: SmallDisk,
) -> None:
    with capture_logs() as logs:
        async with running(small_disk.path) as disk:
            for key in ("a", "b"):
                assert await save(disk, key)
            small_disk.fill()
            assert await load(disk, piece("a"), LARGE) == DATA
            for key in ("c", "d", "e"):
                assert await save(disk, key)
                assert await load(disk, piece("a"), LARGE) == DATA
            assert [key for key in "abcde" if disk.has(piece(key), LARGE)] == ["a", "e"]
            assert await load(disk, piece("e"), LARGE) == DATA
            rotated = disk.statistics()
            assert (rotated.evictions, rotated.save_failures, rotated.degraded) == (3, 0, "")
            assert not list((small_disk.path / "tmp").iterdir())
    assert warnings(logs) == ["disk cache: the disk is full before the cache is"]


async def test_no_more_goes_than_has_to(small_disk: SmallDisk) -> None:
    small = record(3000, slice_bytes=MIB)
    async with running(small_disk.path) as disk:
        for number in range(150):
            assert await disk.save(piece(f"{number}"), small, [bytes(3000)])
        small_disk.fill()
        assert await save(disk, "large")
        assert disk.statistics().evictions == len(DATA) // 4096 + 1


async def test_a_full_disk_keeps_nothing_new_until_there_is_room(
    small_disk: SmallDisk, mock_clock: MockClock
) -> None:
    with capture_logs() as logs:
        async with running(small_disk.path) as disk:
            assert await save(disk, "a")
            reader = await disk.open(piece("a"), LARGE)  # to evict it would give nothing back
            assert reader is not None
            small_disk.fill()
            for number in range(20):
                assert not await save(disk, f"{number}")
            assert await load(disk, piece("a"), LARGE) == DATA
            full = disk.statistics()
            assert (full.degraded, full.save_failures) == ("No space left on device", 1)
            assert full.refused == 19
            assert full.bytes == 300_000 // 4096 * 4096 + 8192
            assert not list((small_disk.path / "tmp").iterdir())

            mock_clock.jump(1.5)  # one more attempt, and a longer pause
            assert not await save(disk, "b")
            mock_clock.jump(1.5)
            assert not await save(disk, "b")
            assert disk.statistics().save_failures == 2
            assert warnings(logs) == ["disk cache: keeping nothing new"]

            small_disk.empty()
            assert not await save(disk, "b")
            mock_clock.jump(1)
            assert await save(disk, "b")
            assert await load(disk, piece("b"), LARGE) == DATA
            reader.close()
            assert disk.statistics().degraded == ""
            assert warnings(logs)[1:] == ["disk cache: no longer keeping nothing new"]


async def test_what_is_forgotten_on_a_full_disk_is_forgotten_for_good(
    small_disk: SmallDisk,
) -> None:
    """There is no room to write it down, but to delete takes none."""
    async with running(small_disk.path) as disk:
        known = await put(disk, "a", b"data")
        reader = await disk.open(piece("a"), known)  # so that its room is not used for the log
        small_disk.fill()
        disk.forget(name("a"))
        assert not await disk.settle()
        assert await disk.settle()
        assert not piece_files(small_disk.path)
        assert reader is not None
        reader.close()


async def test_many_at_once_on_a_full_disk(small_disk: SmallDisk) -> None:
    """What there is room for is kept, and is whole; there is one line in the log."""
    with capture_logs() as logs:
        async with running(small_disk.path) as disk:
            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(save, disk, f"{number}")
            kept = [key for key in map(str, range(30)) if disk.has(piece(key), LARGE)]
            assert 1 <= len(kept) <= 3
            assert len(piece_files(small_disk.path)) == len(kept)
            assert not list((small_disk.path / "tmp").iterdir())
            for key in kept:
                assert await load(disk, piece(key), LARGE) == DATA
    said = warnings(logs)
    assert len(said) == len(set(said))
    assert set(said) <= {
        "disk cache: the disk is full before the cache is",
        "disk cache: keeping nothing new",
    }


@contextmanager
def unchangeable(directory: Path) -> Iterator[None]:
    """Nothing can be created or deleted in any of its folders. Root heeds no permissions, but it
    heeds attributes."""
    folders = [str(path) for path in (directory, *directory.rglob("*")) if path.is_dir()]
    if os.geteuid() == 0:
        deny, allow = ["chattr", "+i"], ["chattr", "-i"]
    else:
        deny, allow = ["chmod", "u-w"], ["chmod", "u+w"]
    if subprocess.run([*deny, *folders], check=False, capture_output=True).returncode:
        pytest.skip("needs a file system that knows chattr +i")
    try:
        yield
    finally:
        subprocess.run([*allow, *folders], check=True)


async def test_a_disk_that_became_read_only(tmp_path: Path, mock_clock: MockClock) -> None:
    with capture_logs() as logs:
        async with running(tmp_path) as disk:
            for key in ("a", "b"):
                known = await put(disk, key, key.encode())
            await put(disk, "c", b"c", "two")
            with unchangeable(tmp_path):
                assert await load(disk, piece("a"), known) == b"a"
                assert not await disk.save(piece("d"), known, [b"d"])
                disk.forget(name("a"))
                disk.forget(name("c"))
                assert not disk.has(piece("a"), known)
                assert not await disk.settle()  # a crash could bring it back
                assert not await disk.settle()
                assert disk.statistics().stuck_files == 2
                assert disk.statistics().bytes == 3 * 8192
                assert warnings(logs) == [
                    "disk cache: keeping nothing new",
                    "disk cache: deleting nothing",
                ]

            mock_clock.jump(60)
            assert await disk.save(piece("c"), known, [b"C"])  # it had the name of a stuck one
            assert await disk.settle()
            assert await load(disk, piece("b"), known) == b"b"
            assert await load(disk, piece("c"), known) == b"C"
            assert disk.statistics().stuck_files == 0
            assert len(piece_files(tmp_path)) == 2
            assert disk.statistics().bytes == 2 * 8192


async def test_a_full_disk_is_no_reason_not_to_start(
    small_disk: SmallDisk, mock_clock: MockClock
) -> None:
    (small_disk.path / "lost+found").touch()
    small_disk.fill()
    async with running(small_disk.path, rebuilt=False) as disk:
        assert not await save(disk, "a")
        assert not await disk.settle()
        disk.forget(name("b"))
        assert disk.statistics().degraded == "No space left on device"
        small_disk.empty()
        mock_clock.jump(60)
        await until_rebuilt(disk)
        assert disk.statistics().degraded == ""
        assert await save(disk, "a")


async def test_a_limit_on_file_sizes(tmp_path: Path, mock_clock: MockClock) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with running(tmp_path) as disk:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            assert not await save(disk, "a")
            assert disk.statistics().degraded == "File too large"
            assert not list((tmp_path / "tmp").iterdir())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        mock_clock.jump(1)
        assert await save(disk, "a")


async def test_no_descriptor_left(tmp_path: Path, mock_clock: MockClock) -> None:
    """That says nothing of the piece: it is there for the next reader."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        await trio.to_thread.run_sync(lambda: None)
        lowest = os.open("/", os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        try:
            assert await disk.open(piece("a"), known) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert disk.statistics().unreadable == "Too many open files"
        mock_clock.jump(1)
        assert await load(disk, piece("a"), known) == b"data"
        assert disk.statistics().unreadable == ""


def remove(path: Path) -> None:
    path.unlink()


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace_by_another_piece(path: Path) -> None:
    other = next(file for file in piece_files(path.parent.parent.parent) if file != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    "spoil",
    [remove, replace_by_a_folder, replace_by_a_pipe, replace_by_a_link, replace_by_another_piece],
)
async def test_a_file_that_somebody_took_away(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        (path,) = piece_files(tmp_path)
        await put(disk, "b", b"more")
        spoil(path)
        assert await load(disk, piece("a"), known) is None
        assert not disk.has(piece("a"), known)
        assert await load(disk, piece("b"), known) == b"more"
        await disk.settle()
        if not path.is_dir():
            assert await disk.save(piece("a"), known, [b"data"])
            assert await load(disk, piece("a"), known) == b"data"


async def test_a_file_of_another_generation(tmp_path: Path) -> None:
    async with running(tmp_path / "other") as disk:
        await put(disk, "a", b"DATA", "two")
    async with running(tmp_path / "cache") as disk:
        known = await put(disk, "a", b"data")
        shutil.copytree(tmp_path / "other", tmp_path / "cache", dirs_exist_ok=True)
        assert await load(disk, piece("a"), known) is None
        assert disk.statistics().corrupt == 1


async def test_folders_that_somebody_took_away(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        for path in piece_files(tmp_path):
            shutil.rmtree(path.parent.parent)
        assert await load(disk, piece("a"), known) is None
        assert await disk.settle()
        await put(disk, "a", b"data")
        assert await load(disk, piece("a"), known) == b"data"
