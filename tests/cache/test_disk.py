"""The disk tier as the cache uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from parparchik.cache.disk import DiskStore
from parparchik.cache.tiers import Disk, PieceName, Record
from parparchik.content import ObjectName
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
    read,
    record,
    running,
    until_rebuilt,
)
from tests.cache.scenes import until


async def test_what_was_saved_is_read(tmp_path: Path) -> None:
    data = content("a", 3 * SLICE + 7)
    known = record(len(data))
    async with running(tmp_path / "cache") as disk:
        seam: Disk = disk
        assert seam.record(name("a"), "") is None
        for index in range(4):
            part = data[index * SLICE : (index + 1) * SLICE]
            assert not disk.has(piece("a", index), known)
            assert await disk.save(piece("a", index), known, [part[:10], b"", part[10:]])
            assert disk.has(piece("a", index), known)
        assert disk.record(name("a"), "") == known
        parts = [await load(disk, piece("a", index), known) for index in range(4)]
        assert b"".join(part or b"" for part in parts) == data
        assert await load(disk, piece("a", 4), known) is None


async def test_empty_object(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "empty", b"")
        assert await load(disk, piece("empty"), known) == b""


@pytest.mark.parametrize("key", ["", "/", "../../etc/passwd", "ö/\x00\n", "k" * 1024, "😀" * 256])
async def test_any_key(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, key, b"data")
        assert await load(disk, piece(key), known) == b"data"
    async with running(tmp_path) as disk:
        assert await load(disk, piece(key), known) == b"data"


async def test_names_that_run_into_each_other(tmp_path: Path) -> None:
    """Bucket, key and coding are told apart wherever one ends and the next begins."""
    pieces = [
        PieceName(ObjectName("a", "bc"), "", 0),
        PieceName(ObjectName("ab", "c"), "", 0),
        PieceName(ObjectName("a", "b"), "c", 0),
        PieceName(ObjectName("a", "bc0"), "", 0),
    ]
    known = record(1)
    async with running(tmp_path) as disk:
        for number, what in enumerate(pieces):
            assert await disk.save(what, known, [b"%d" % number])
        for number, what in enumerate(pieces):
            assert await load(disk, what, known) == b"%d" % number
    assert len(piece_files(tmp_path)) == len(pieces)


async def test_a_name_that_is_no_unicode_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        assert not await disk.save(piece("\ud800"), record(1), [b"x"])
        disk.forget(name("\ud800"))


async def test_another_generation_is_not_given_out(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        await put(disk, "a", b"old", "one")
        assert await load(disk, piece("a"), record(3, "two")) is None
        assert not disk.has(piece("a"), record(3, "two"))


async def test_another_generation_replaces_all_pieces(tmp_path: Path) -> None:
    old, new = record(2 * SLICE, "one"), record(2 * SLICE, "two")
    async with running(tmp_path) as disk:
        for index in range(2):
            await disk.save(piece("a", index), old, [content("old", SLICE)])
        assert await disk.save(piece("a", 0), new, [content("new", SLICE)])
        assert disk.record(name("a"), "") == new
        assert not disk.has(piece("a", 1), old)
        assert await load(disk, piece("a", 0), new) == content("new", SLICE)
        await disk.settle()
        assert len(piece_files(tmp_path)) == 1
        assert disk.statistics().files == 1


async def test_variants_are_pieces_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"plain")
        await disk.save(piece("a", coding="gzip"), record(3, "gz"), [b"zip"])
        assert await load(disk, piece("a"), known) == b"plain"
        assert await load(disk, piece("a", coding="gzip"), record(3, "gz")) == b"zip"
        disk.forget(name("a"))
        assert disk.record(name("a"), "") is None
        assert disk.record(name("a"), "gzip") is None


async def test_a_confirmation_concerns_the_whole_generation(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        disk.confirm(name("a"), "", record(4, confirmed_at_s=NOW_S + 5))
        disk.confirm(name("a"), "", record(4, "two", confirmed_at_s=NOW_S + 9))
        found = disk.record(name("a"), "")
        assert found is not None
        assert found.confirmed_at_s == NOW_S + 5
        assert disk.has(piece("a"), known)


@pytest.mark.parametrize(("index", "size"), [(0, SLICE - 1), (0, SLICE + 1), (1, SLICE), (2, 0)])
async def test_a_piece_of_the_wrong_length_is_not_kept(
    tmp_path: Path, index: int, size: int
) -> None:
    async with running(tmp_path) as disk:
        assert not await disk.save(piece("a", index), record(SLICE + 5), [bytes(size)])
        assert disk.statistics().refused == 1
    assert not piece_files(tmp_path)


async def test_a_forgotten_piece_stays_readable_for_who_reads_it(tmp_path: Path) -> None:
    data = content("a", SLICE)
    async with running(tmp_path) as disk:
        known = await put(disk, "a", data)
        opened = await disk.open(piece("a"), known)
        assert opened is not None
        disk.forget(name("a"))
        assert await disk.open(piece("a"), known) is None
        assert await disk.settle()
        assert not piece_files(tmp_path)
        assert read(opened) == data
        held = disk.statistics()
        assert (held.files, held.bytes > SLICE) == (0, True)
        opened.close()
        opened.close()
        assert await disk.settle()
        assert disk.statistics().bytes == 0
        assert disk.statistics().leaving_bytes == 0
        assert disk.statistics().open_files == 0


async def test_readers_share_one_file_and_leave_it_open(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        first = await disk.open(piece("a"), known)
        second = await disk.open(piece("a"), known)
        assert first is not None
        assert second is not None
        assert first.fd == second.fd
        first.close()
        assert read(second) == b"data"
        second.close()
        third = disk.open_nowait(piece("a"), known)
        assert third is not None
        assert third.fd == first.fd
        third.close()
        assert disk.statistics().open_files == 1


async def test_as_many_files_stay_open_as_may(tmp_path: Path) -> None:
    async with running(tmp_path, idle_max=2) as disk:
        before = len(os.listdir("/proc/self/fd"))
        for key in "abcde":
            known = await put(disk, key, key.encode())
            assert await load(disk, piece(key), known) == key.encode()
        assert disk.statistics().open_files == 2
        assert len(os.listdir("/proc/self/fd")) == before + 2
        opened = [disk.open_nowait(piece(key), record(1)) for key in "abcde"]
        assert [each and read(each) for each in opened] == [b"a", b"b", b"c", b"d", b"e"]
        assert disk.statistics().open_files == 5
        for each in opened:
            assert each is not None
            each.close()
        assert disk.statistics().open_files == 2


async def test_all_files_are_closed_at_the_end(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        reader = await disk.open(piece("a"), known)
        await put(disk, "b", b"data")
        await load(disk, piece("b"), known)
        assert reader is not None
    assert read(reader) == b"data"
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_who_opens_one_file_at_once_has_it_checked_once(tmp_path: Path) -> None:
    data = content("a", MIB)
    known = record(MIB, slice_bytes=MIB)
    async with running(tmp_path) as disk:
        await disk.save(piece("a"), known, [data])
    got: list[bytes | None] = []
    async with running(tmp_path) as disk, trio.open_nursery() as nursery:

        async def one() -> None:
            got.append(await load(disk, piece("a"), known))

        for _ in range(20):
            nursery.start_soon(one)
    assert got == [data] * 20


def start(
    nursery: trio.Nursery, disk: DiskStore, key: str, known: Record, data: bytes
) -> trio.Event:
    """Begin to save; the event says that it has begun."""
    begun = trio.Event()

    async def save() -> None:
        begun.set()
        await disk.save(piece(key), known, [data])

    nursery.start_soon(save)
    return begun


async def test_a_save_that_is_forgotten_is_not_kept(tmp_path: Path) -> None:
    """At whichever point it is: the object is forgotten a little later each time."""
    kept = 0
    async with running(tmp_path) as disk:
        for turns in range(80):
            key = f"{turns}"
            async with trio.open_nursery() as nursery:
                begun = start(nursery, disk, key, record(4), b"data")
                await begun.wait()
                await trio.sleep(0.0001 * turns)
                kept += disk.has(piece(key), record(4))
                disk.forget(name(key))
                assert not disk.has(piece(key), record(4))
            assert not disk.has(piece(key), record(4)), turns
        assert await disk.settle()
        assert disk.statistics().bytes == 0
        assert disk.statistics().leaving_bytes == 0
    assert not piece_files(tmp_path)
    assert kept < 80  # else nothing was forgotten on its way


async def test_what_is_saved_after_it_was_forgotten_is_kept(tmp_path: Path) -> None:
    """Old and new bytes of one piece are on their way at once, by the same file name."""
    async with running(tmp_path) as disk:
        for turns in range(80):
            key = f"{turns}"
            async with trio.open_nursery() as nursery:
                begun = start(nursery, disk, key, record(3, "old"), b"old")
                await begun.wait()
                await trio.sleep(0.0001 * turns)
                disk.forget(name(key))
                nursery.start_soon(disk.save, piece(key), record(3, "new"), [b"new"])
            assert await load(disk, piece(key), record(3, "new")) == b"new"
            assert disk.record(name(key), "") == record(3, "new")
    async with running(tmp_path) as disk:
        for turns in range(80):
            assert await load(disk, piece(f"{turns}"), record(3, "new")) == b"new"
        assert disk.statistics().corrupt == 0


async def test_generations_in_each_others_way(tmp_path: Path) -> None:
    """Whatever wins, its bytes are right, and nothing is counted twice."""
    async with running(tmp_path) as disk:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                known = record(2 * SLICE, f"{number % 5}")
                data = content(f"{number % 5}", SLICE)
                nursery.start_soon(disk.save, piece("a", number % 2), known, [data])
                if number % 7 == 0:
                    await trio.sleep(0.001)
        found = disk.record(name("a"), "")
        assert found is not None
        etag = found.representation.etag.strip('"')
        indexed = [index for index in range(2) if disk.has(piece("a", index), found)]
        for index in indexed:
            assert await load(disk, piece("a", index), found) == content(etag, SLICE)
        assert await disk.settle()
        assert len(piece_files(tmp_path)) == len(indexed) == disk.statistics().files
        assert disk.statistics().leaving_bytes == 0
        assert disk.statistics().bytes == len(indexed) * (SLICE + 2 * 4096)


async def test_a_prefix(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        for key in ("a/1", "a/2", "b/1"):
            known = await put(disk, key, b"data")
        await disk.save(piece("a/1", coding="gzip"), known, [b"data"])
        assert await disk.forget_prefix("other", "") == 0
        assert await disk.forget_prefix("bucket", "a/") == 2
        assert disk.record(name("a/1"), "gzip") is None
        assert await load(disk, piece("b/1"), known) == b"data"
        assert await disk.forget_prefix("bucket", "") == 1
        await until(lambda: not piece_files(tmp_path))
        assert disk.statistics().files == 0
    assert not piece_files(tmp_path)


async def test_a_save_goes_on_without_who_asked_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        for turns in range(30):
            key = f"{turns}"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(disk.save, piece(key), record(4), [b"data"])
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        while disk.statistics().bytes != disk.statistics().files * 2 * 4096:
            await trio.lowlevel.checkpoint()
        assert disk.statistics().leaving_bytes == 0
        assert not list((tmp_path / "tmp").iterdir())


async def test_who_saves_the_same_waits_for_it(tmp_path: Path) -> None:
    results: list[bool] = []
    async with running(tmp_path) as disk:

        async def one() -> None:
            results.append(await disk.save(piece("a"), record(4), [b"data"]))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        await one()
        assert results == [True] * 6
        assert disk.statistics().saves == 1


async def test_before_and_after_a_run_there_is_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
    assert not disk.has(piece("a"), known)
    assert disk.record(name("a"), "") is None
    assert await disk.open(piece("a"), known) is None
    assert not await disk.save(piece("b"), known, [b"data"])
    assert not await disk.settle()


async def test_it_may_run_again(tmp_path: Path) -> None:
    async with running(tmp_path) as disk:
        known = await put(disk, "a", b"data")
        await put(disk, "b", b"data")
    disk.forget(name("b"))  # nobody runs it, and the file is there
    async with trio.open_nursery() as nursery:
        await nursery.start(disk.run)
        await until_rebuilt(disk)
        assert await load(disk, piece("a"), known) == b"data"
        assert not disk.has(piece("b"), known)
        nursery.cancel_scope.cancel()


async def test_nobody_is_left_waiting_for_a_disk_that_was_stopped(tmp_path: Path) -> None:
    results: list[bool] = []
    async with trio.open_nursery() as askers:

        async def ask(key: str) -> None:
            results.append(await disk.save(piece(key), record(MIB, slice_bytes=MIB), [bytes(MIB)]))
            disk.forget(name(key))
            results.append(await disk.settle())

        async with running(tmp_path, 3 * MIB) as disk:
            for number in range(30):
                askers.start_soon(ask, f"{number}")
            while not results:
                await trio.lowlevel.checkpoint()
    assert len(results) == 60
