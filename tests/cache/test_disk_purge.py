"""Very much is forgotten at a time: at once, and taken off the disk a little at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from parparchik.cache.disk import sweeping
from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.log import ForgottenLog
from tests.cache.disks import load, name, piece, piece_files, put, record, running
from tests.cache.scenes import until

KEYS = [f"a/{number:02}" for number in range(40)]


@pytest.fixture(autouse=True)
def go_on(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """One piece is deleted; the others not before the test says so."""
    go_on = trio.Event()
    flush = Lane.flush

    async def held(lane: Lane) -> None:
        await go_on.wait()
        await flush(lane)

    monkeypatch.setattr(sweeping, "AT_ONCE", 1)
    monkeypatch.setattr(Lane, "flush", held)
    return go_on


async def test_it_is_forgotten_before_it_is_deleted(tmp_path: Path, go_on: trio.Event) -> None:
    async with running(tmp_path) as disk, trio.open_nursery() as nursery:
        for key in (*KEYS, "b"):
            known = await put(disk, key, b"old")
        turns = 0

        async def look() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                for key in KEYS:
                    assert disk.record(name(key), "") is None
                    assert not disk.has(piece(key), known)
                assert await disk.open(piece(KEYS[-1]), known) is None
                turns += 1

        nursery.start_soon(look)
        assert await disk.forget_prefix("bucket", "a/") == 40
        assert turns > 30
        assert await disk.settle()
        assert len(piece_files(tmp_path)) >= 40
        assert await disk.forget_prefix("bucket", "a/") == 0
        go_on.set()
        await until(lambda: len(piece_files(tmp_path)) == 1)
        nursery.cancel_scope.cancel()
        assert disk.statistics().files == 1
        assert disk.statistics().bytes == 8192
        assert await load(disk, piece("b"), known) == b"old"


async def test_what_is_saved_meanwhile_stays(tmp_path: Path, go_on: trio.Event) -> None:
    async with running(tmp_path) as disk:
        for key in KEYS:
            await put(disk, key, b"old")
        assert await disk.forget_prefix("bucket", "a/") == 40
        new = await put(disk, KEYS[-1], b"new", "two")
        same = await put(disk, KEYS[-2], b"old")
        assert len(piece_files(tmp_path)) >= 39
        go_on.set()
        await until(lambda: len(piece_files(tmp_path)) == 2)
        assert await load(disk, piece(KEYS[-1]), new) == b"new"
        assert await load(disk, piece(KEYS[-2]), same) == b"old"
        assert disk.statistics().files == 2
        assert disk.statistics().bytes == 2 * 8192


async def test_a_crash_before_all_is_deleted(tmp_path: Path) -> None:
    async with running(tmp_path / "cache") as disk:
        for key in KEYS:
            known = await put(disk, key, b"old")
        await disk.forget_prefix("bucket", "a/")
        with trio.fail_after(5):  # it need not wait for all that is deleted
            assert await disk.settle()
        shutil.copytree(tmp_path / "cache", tmp_path / "crashed")
    assert len(piece_files(tmp_path / "crashed")) >= 39
    async with running(tmp_path / "crashed") as disk:
        assert not any(disk.has(piece(key), known) for key in KEYS)


async def test_it_is_written_down_until_all_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock, go_on: trio.Event
) -> None:
    left: list[int] = []
    clear = ForgottenLog.clear

    def counting(log: ForgottenLog) -> None:
        left.append(len(piece_files(tmp_path)))
        clear(log)

    monkeypatch.setattr(ForgottenLog, "clear", counting)
    async with running(tmp_path) as disk:
        for key in KEYS:
            await put(disk, key, b"old")
        left.clear()
        await disk.forget_prefix("bucket", "a/")
        assert await disk.settle()
        mock_clock.jump(60)  # it is time to have nothing written down
        for _ in range(10):
            await trio.to_thread.run_sync(lambda: None)
        go_on.set()
        while not left:
            await trio.to_thread.run_sync(lambda: None)
        assert left == [0]


async def test_a_reader_of_what_is_purged_goes_on(tmp_path: Path, go_on: trio.Event) -> None:
    go_on.set()
    async with running(tmp_path) as disk:
        for key in KEYS:
            await put(disk, key, b"old")
        opened = await disk.open(piece(KEYS[-1]), record(3))
        assert opened is not None
        await disk.forget_prefix("bucket", "")
        await until(lambda: not piece_files(tmp_path))
        assert disk.statistics().bytes == 8192, "its bytes are still there"
        opened.close()
        await until(lambda: disk.statistics().bytes == 0)
