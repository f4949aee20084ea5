"""Pieces that are opened without a thread: those that this process knows to be right, and whose
files the kernel has in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cache.disks import content, name, piece, piece_files, put, read, record, running

DATA = content("a", 10_000)
KNOWN = record(len(DATA))


async def test_what_was_saved_is_opened_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, idle_max=0) as disk:
        known = await put(disk, "a", DATA)
        for _ in range(2):
            opened = disk.open_nowait(piece("a"), known)
            assert opened is not None
            assert read(opened) == DATA
            opened.close()
            assert disk.statistics().open_files == 0
        assert disk.statistics().opens == 2
        assert disk.open_nowait(piece("b"), known) is None
        assert disk.open_nowait(piece("a"), record(len(DATA), "other")) is None


async def test_what_another_process_saved_is_hashed_first(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        await put(disk, "a", DATA)
    async with running(tmp_path, idle_max=0) as disk:
        assert disk.open_nowait(piece("a"), KNOWN) is None
        assert disk.has(piece("a"), KNOWN)
        checked = await disk.open(piece("a"), KNOWN)
        assert checked is not None
        checked.close()
        opened = disk.open_nowait(piece("a"), KNOWN)
        assert opened is not None
        assert read(opened) == DATA
        opened.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """By a piece that is whole, and another's."""
    other = next(each for each in piece_files(path.parents[2]) if each != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("spoil", [cut, empty, overwrite, Path.unlink])
async def test_a_file_that_is_not_the_piece_is_dropped(
    tmp_path: Path, spoil: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    async with running(tmp_path) as disk:
        await put(disk, "a", DATA)
        [path] = piece_files(tmp_path)
        await put(disk, "b", content("b", 5_000))
        spoil(path)
        assert disk.open_nowait(piece("a"), KNOWN) is None
        assert not disk.has(piece("a"), KNOWN)
        assert await disk.open(piece("a"), KNOWN) is None
        statistics = disk.statistics()
        assert statistics.read_failures == 1
        assert statistics.corrupt == (spoil is not Path.unlink)
        assert statistics.open_files == 0
    assert "pieces not readable" in capsys.readouterr().out


def drop_from_memory(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def is_in_memory(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
    return True


async def test_what_the_kernel_has_to_fetch_is_left_to_a_thread(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", DATA)
        [path] = piece_files(tmp_path)
        drop_from_memory(path)
        at_once = disk.open_nowait(piece("a"), known)
        if at_once is not None:
            at_once.close()
            drop_from_memory(path)
            # Not before: where it is not, the kernel begins to read it for who has looked.
            if is_in_memory(path):
                pytest.skip("this file system keeps its files in memory")
        assert at_once is None
        assert disk.statistics().read_failures == 0
        opened = await disk.open(piece("a"), known)
        assert opened is not None
        assert read(opened) == DATA
        opened.close()


async def test_a_piece_that_was_forgotten_is_not_opened(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", DATA)
        disk.forget(name("a"))
        assert disk.open_nowait(piece("a"), known) is None
