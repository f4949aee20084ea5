"""What the disk tier makes of a directory that an earlier process left, whatever is in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.cache.disks import (
    DATA,
    KNOWN,
    MIB,
    NOW_S,
    SLICE,
    content,
    dropped,
    fill,
    load,
    name,
    path_of,
    piece,
    piece_files,
    put,
    record,
    running,
    used_bytes,
)


async def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    await fill(tmp_path, "a", "b")
    before = used_bytes(tmp_path)
    async with running(tmp_path) as disk:
        assert disk.record(name("a"), "") == KNOWN
        assert await load(disk, piece("a"), KNOWN) == DATA
        assert await load(disk, piece("b"), KNOWN) == DATA
        assert not dropped(disk)
        statistics = disk.statistics()
        assert (statistics.files, statistics.bytes) == (2, before)
        assert (statistics.rebuilt, statistics.to_rebuild) == (2, 2)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def foreign_bytes(path: Path) -> None:
    path.write_bytes(b"mine!" * 5000)


def other_version(path: Path) -> None:
    file = path.read_bytes()
    path.write_bytes(file[:-16] + b"\0\0\0\x09" + file[-12:])


def misnamed(path: Path) -> None:
    os.rename(path, path.with_name(path.name[:-4] + "0000"))


def another_pieces_file(path: Path) -> None:
    path.write_bytes(path_of(path.parent.parent.parent, "b").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut, "torn"),
        (cut_to_nothing, "torn"),
        (zeros, "torn"),
        (foreign_bytes, "torn"),
        (other_version, "version"),
        (misnamed, "misnamed"),
        (another_pieces_file, "misnamed"),
    ],
)
async def test_a_file_that_is_no_piece_is_deleted(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    path, other = await fill(tmp_path, "a", "b")
    spoil(path)
    async with running(tmp_path) as disk:
        assert not disk.has(piece("a"), KNOWN)
        assert await load(disk, piece("b"), KNOWN) == DATA
        assert dropped(disk) == {reason: 1}
        assert await disk.settle()
        assert piece_files(tmp_path) == [other]


async def test_data_that_changed_are_found_out_when_they_are_opened(tmp_path: Path) -> None:
    (path,) = await fill(tmp_path, "a")
    file = bytearray(path.read_bytes())
    for position in (0, 4096, len(DATA) - 1):
        changed = bytearray(file)
        changed[position] ^= 1
        path.write_bytes(changed)
        async with running(tmp_path) as disk:
            assert disk.has(piece("a"), KNOWN)
            assert await load(disk, piece("a"), KNOWN) is None
            assert not disk.has(piece("a"), KNOWN)
            assert disk.statistics().corrupt == 1
            assert await disk.settle()
            assert not path.exists()
            assert disk.statistics().bytes == 0


async def test_what_is_not_ours_within_our_folders_is_deleted(tmp_path: Path) -> None:
    (path,) = await fill(tmp_path / "cache", "a")
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = path.parent
    (folder / "notes.txt").write_text("x")
    (folder / path.name.upper()).write_text("x")
    (folder / ("f" * 64)).write_text("x")
    (folder / (path.name[:-1] + "g")).symlink_to(outside)
    (folder / (path.name[:4] + "0" * 60)).symlink_to(outside)
    (folder.parent / "file").write_text("x")
    async with running(tmp_path / "cache") as disk:
        assert await load(disk, piece("a"), KNOWN) == DATA
        assert dropped(disk) == {"foreign": 6}
    assert piece_files(tmp_path / "cache") == [path]
    assert outside.read_bytes() == b"precious"


async def test_what_lies_elsewhere_is_let_be(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    await fill(cache, "a")
    others = tmp_path / "others"
    (others / "cd").mkdir(parents=True)
    (others / "cd" / "file").write_text("x")
    (cache / "elsewhere").mkdir()
    (cache / "elsewhere" / "file").write_text("x")
    (cache / "README").write_text("x")
    free = next(digits for digits in ("00", "01") if not (cache / digits).exists())
    (cache / free).symlink_to(others)
    async with running(cache) as disk:
        assert await load(disk, piece("a"), KNOWN) == DATA
    assert (others / "cd" / "file").exists()
    assert (cache / "elsewhere" / "file").exists()
    assert (cache / "README").exists()


async def test_files_of_a_dead_process_in_tmp_are_removed(tmp_path: Path) -> None:
    await fill(tmp_path, "a")
    (tmp_path / "tmp" / "half").write_bytes(DATA)
    async with running(tmp_path):
        assert not list((tmp_path / "tmp").iterdir())


async def test_empty_folders_are_removed(tmp_path: Path) -> None:
    (path,) = await fill(tmp_path, "a")
    path.unlink()
    async with running(tmp_path):
        assert not path.parent.exists()


async def test_the_generation_confirmed_last_is_kept(tmp_path: Path) -> None:
    """Pieces of several may be left by a crash of the machine."""
    files: dict[str, tuple[Path, bytes]] = {}
    for number in (1, 3, 2):
        known = record(3 * SLICE, f"{number}", confirmed_at_s=NOW_S - 100 + number)
        async with running(tmp_path) as disk:
            data = content(f"{number}", SLICE)
            assert await disk.save(piece("a", number - 1), known, [data])
        path = path_of(tmp_path, "a", number - 1)
        files[f"{number}"] = path, path.read_bytes()
    for path, file in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    async with running(tmp_path) as disk:
        newest = record(3 * SLICE, "3", confirmed_at_s=NOW_S - 97)
        assert disk.record(name("a"), "") == newest
        assert await load(disk, piece("a", 2), newest) == content("3", SLICE)
        assert dropped(disk) == {"superseded": 2}
        assert disk.statistics().files == 1


async def test_a_generation_is_as_confirmed_as_its_latest_piece(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        for index in range(3):
            known = record(3 * SLICE, confirmed_at_s=NOW_S - 10 + index)
            await disk.save(piece("a", index), known, [content("a", SLICE)])
    async with running(tmp_path) as disk:
        found = disk.record(name("a"), "")
        assert found is not None
        assert found.confirmed_at_s == NOW_S - 8
        assert disk.statistics().files == 3


async def test_what_was_confirmed_in_the_future_was_never_confirmed(tmp_path: Path) -> None:
    await fill(tmp_path, "a")
    async with running(tmp_path, now=lambda: NOW_S - 3600) as disk:
        found = disk.record(name("a"), "")
        assert found is not None
        assert found.confirmed_at_s == 0


async def test_a_smaller_budget_keeps_what_was_used_last(tmp_path: Path) -> None:
    paths = await fill(tmp_path, *"abcdef")
    for number, path in enumerate(paths):
        os.utime(path, (NOW_S + number, NOW_S + number))
    each = used_bytes(tmp_path) // 6
    async with running(tmp_path, each * 3 + 4095) as disk:
        kept = [key for key in "abcdef" if disk.has(piece(key), KNOWN)]
        assert kept == ["d", "e", "f"]
        assert dropped(disk) == {"over_budget": 3}
        assert await disk.settle()
        assert len(piece_files(tmp_path)) == 3
        await put(disk, "g", DATA)
        assert not disk.has(piece("d"), KNOWN)
        assert disk.has(piece("e"), KNOWN)
    async with running(tmp_path, files_max=1) as disk:
        assert disk.statistics().files == 1


async def test_use_is_remembered_by_the_file(tmp_path: Path) -> None:
    """But written down once an hour at most, whether the file is open already or not."""
    paths = await fill(tmp_path, "a", "b", "c")
    for path in paths:
        os.utime(path, (NOW_S, NOW_S))
    time_s = NOW_S + 3599
    async with running(tmp_path, now=lambda: time_s) as disk:

        async def touched(key: str) -> float:
            assert await load(disk, piece(key), KNOWN) == DATA
            await disk.settle()
            return path_of(tmp_path, key).stat().st_mtime

        assert await touched("a") == NOW_S
        time_s = NOW_S + 3600
        assert await touched("a") == NOW_S + 3600  # open already
        assert await touched("b") == NOW_S + 3600  # opened now
        time_s = NOW_S + 7000
        assert await touched("b") == NOW_S + 3600
    each = used_bytes(tmp_path) // 3
    async with running(tmp_path, each * 2) as disk:
        assert not disk.has(piece("c"), KNOWN)


async def test_many_files(tmp_path: Path) -> None:
    async with running(tmp_path) as disk, trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(put, disk, f"{number}", b"%d" % number)
    async with running(tmp_path, 64 * MIB) as disk:
        for number in range(500):
            data = b"%d" % number
            assert await load(disk, piece(f"{number}"), record(len(data))) == data
