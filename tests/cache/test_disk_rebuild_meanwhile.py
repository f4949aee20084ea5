"""What is saved, forgotten and kept within the budget while the directory is looked through."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import trio

from parparchik.cache.disk import DiskStore, files
from tests.cache.disks import (
    DATA,
    KNOWN,
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
    until_gone,
    until_rebuilt,
    used_bytes,
)


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
