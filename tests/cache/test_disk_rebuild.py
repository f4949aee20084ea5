"""What the disk tier makes of a directory that an earlier process left, whatever is in it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from parparchik.cache.disk import DiskStore, files
from parparchik.cache.disk.format import file_name
from tests.cache.disks import (
    MIB,
    NOW_S,
    SLICE,
    content,
    load,
    name,
    piece,
    piece_files,
    put,
    record,
    running,
    until_rebuilt,
    used_bytes,
)

DATA = content("a", 10_000)
KNOWN = record(len(DATA))


async def fill(directory: Path, *keys: str) -> list[Path]:
    async with running(directory) as disk:
        for key in keys:
            assert await disk.save(piece(key), KNOWN, [DATA])
    return [path_of(directory, key) for key in keys]


def path_of(directory: Path, key: str, index: int = 0) -> Path:
    digits = file_name(piece(key, index))
    return directory / digits[:2] / digits[2:4] / digits


def dropped(disk: DiskStore) -> dict[str, int]:
    return {why: count for why, count in disk.statistics().dropped if count}


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


class Gate:
    """Holds back the thread that looks into what was found."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        read_tail = files.read_tail

        def held(path: str, digits: str) -> object:
            assert self.open.wait(30)
            return read_tail(path, digits)

        monkeypatch.setattr(files, "read_tail", held)


async def until_ready(disk: DiskStore) -> None:
    while not disk.statistics().ready:
        await trio.lowlevel.checkpoint()


async def test_what_is_saved_meanwhile_is_newer_than_all_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as disk:
        for index in range(2):
            await disk.save(piece("a", index), record(2 * SLICE), [content("a", SLICE)])
        await disk.save(piece("b"), KNOWN, [DATA])
    gate = Gate(monkeypatch)
    new = record(2 * SLICE, "two", confirmed_at_s=NOW_S - 1000)
    async with running(tmp_path, rebuilt=False) as disk:
        await until_ready(disk)
        assert await disk.save(piece("a"), new, [content("new", SLICE)])
        assert await load(disk, piece("a"), new) == content("new", SLICE)
        gate.open.set()
        await until_rebuilt(disk)
        assert disk.record(name("a"), "") == new
        assert await load(disk, piece("a"), new) == content("new", SLICE)
        assert await load(disk, piece("b"), KNOWN) == DATA
        assert await disk.settle()
        assert len(piece_files(tmp_path)) == 2
        assert disk.statistics().bytes == used_bytes(tmp_path)
    async with running(tmp_path) as disk:
        assert await load(disk, piece("a"), new) == content("new", SLICE)
        assert not disk.has(piece("a", 1), record(2 * SLICE))


@pytest.mark.parametrize("prefix", [False, True])
async def test_what_is_forgotten_before_it_is_found_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: bool
) -> None:
    await fill(tmp_path, "a", "b")
    gate = Gate(monkeypatch)
    async with running(tmp_path, rebuilt=False) as disk:
        if prefix:
            assert await disk.forget_prefix("bucket", "a") == 0
        else:
            disk.forget(name("a"))
        gate.open.set()
        await until_rebuilt(disk)
        assert not disk.has(piece("a"), KNOWN)
        assert disk.has(piece("b"), KNOWN)
        assert dropped(disk) == {"forgotten": 1}
        assert await disk.settle()
        assert piece_files(tmp_path) == [path_of(tmp_path, "b")]
        await until_gone(tmp_path / "forgotten")


@pytest.mark.parametrize("prefix", [False, True])
async def test_what_was_forgotten_before_a_crash_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: bool
) -> None:
    """The process that forgot had not come upon the files yet. What it saved itself is good."""
    await fill(tmp_path / "cache", "a", "b")
    gate = Gate(monkeypatch)
    new = record(3, "new")
    async with running(tmp_path / "cache", rebuilt=False) as disk:
        await until_ready(disk)
        if prefix:
            await disk.forget_prefix("bucket", "a")
        else:
            disk.forget(name("a"))
        await disk.save(piece("a", coding="gzip"), new, [b"new"])
        assert await disk.settle()
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path / "cache", crashed)  # as a crash would leave it
        gate.open.set()
    with (crashed / "forgotten").open("ab") as log:
        log.write(b'{"run":"torn')
    async with running(crashed) as disk:
        assert not disk.has(piece("a"), KNOWN)
        assert disk.has(piece("b"), KNOWN)
        assert await load(disk, piece("a", coding="gzip"), new) == b"new"


async def test_nothing_is_believed_where_it_is_not_known_what_was_forgotten(tmp_path: Path) -> None:
    await fill(tmp_path, "a")
    (tmp_path / "forgotten").symlink_to("nowhere")
    async with running(tmp_path) as disk:
        assert not disk.has(piece("a"), KNOWN)
        assert dropped(disk) == {"forgotten": 1}


async def test_the_budget_holds_while_nobody_knows_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path, *"abcdefgh")
    budget = used_bytes(tmp_path)
    gate = Gate(monkeypatch)
    async with running(tmp_path, budget, rebuilt=False) as disk:
        await until_ready(disk)
        for key in "ijk":  # all that there is is just being looked into
            assert not await disk.save(piece(key), KNOWN, [DATA])
            assert used_bytes(tmp_path) <= budget
        gate.open.set()
        await until_rebuilt(disk)
        for key in "lmn":
            await put(disk, key, DATA)
            assert used_bytes(tmp_path) <= budget
        assert await disk.settle()
        assert used_bytes(tmp_path) == disk.statistics().bytes <= budget


async def test_many_files(tmp_path: Path) -> None:
    async with running(tmp_path) as disk, trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(put, disk, f"{number}", b"%d" % number)
    async with running(tmp_path, 64 * MIB) as disk:
        for number in range(500):
            data = b"%d" % number
            assert await load(disk, piece(f"{number}"), record(len(data))) == data


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


async def until_gone(path: Path) -> None:
    while path.exists():  # noqa: ASYNC240
        await trio.lowlevel.checkpoint()
