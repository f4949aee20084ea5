"""What was forgotten stays so after a restart, and the log of it is read and cut down."""

from __future__ import annotations

import shutil
from pathlib import Path

from trio.testing import MockClock

from tests.cache.disks import (
    KNOWN,
    dropped,
    fill,
    load,
    name,
    path_of,
    piece,
    put,
    running,
    until_gone,
)


async def test_nothing_is_believed_where_it_is_not_known_what_was_forgotten(tmp_path: Path) -> None:
    await fill(tmp_path, "a")
    (tmp_path / "forgotten").symlink_to("nowhere")
    async with running(tmp_path) as disk:
        assert not disk.has(piece("a"), KNOWN)
        assert dropped(disk) == {"forgotten": 1}


async def test_a_file_that_comes_back_is_still_forgotten(tmp_path: Path) -> None:
    """As the machine may stop before the disk knows that it was deleted; what was saved after is
    good, and so is what another object has."""
    (path,) = await fill(tmp_path / "cache", "a")
    file = path.read_bytes()
    async with running(tmp_path / "cache") as disk:
        await put(disk, "b", b"data")
        await put(disk, "c", b"data")
        own = path_of(tmp_path / "cache", "c")
        own_file = own.read_bytes()
        for key in "abc":
            disk.forget(name(key))
        assert await disk.settle()
        known = await put(disk, "b", b"more", "two")
        shutil.copytree(tmp_path / "cache", tmp_path / "crashed")
    for deleted, its_bytes in ((path, file), (own, own_file)):
        back = tmp_path / "crashed" / deleted.relative_to(tmp_path / "cache")
        back.parent.mkdir(parents=True, exist_ok=True)
        back.write_bytes(its_bytes)
    async with running(tmp_path / "crashed") as disk:
        assert disk.record(name("a"), "") is None
        assert disk.record(name("c"), "") is None
        assert await load(disk, piece("b"), known) == b"more"
        assert dropped(disk) == {"forgotten": 2}


async def test_what_is_written_down_does_not_grow_for_ever(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    log = tmp_path / "forgotten"
    async with running(tmp_path) as disk:
        for number in range(20):
            disk.forget(name("k" * 1000 + f"{number}"))
        assert await disk.settle()
        assert log.stat().st_size > 20_000
    async with running(tmp_path) as disk:  # all is looked into: nothing can come back
        await until_gone(log)
        for number in range(1100):
            disk.forget(name("k" * 1000 + f"{number}"))
        assert await disk.settle()
        assert log.stat().st_size > 1_100_000
        mock_clock.jump(10)
        await until_gone(log)
        disk.forget(name("a"))
        assert await disk.settle()
        assert 0 < log.stat().st_size < 1000
