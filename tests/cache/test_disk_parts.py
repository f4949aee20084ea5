"""One directory after another, for one process or several: what is passed on, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from parparchik.cache.disk import DiskParts, DiskStore, check_directory, discard_directory, part_of
from parparchik.errors import ConfigError
from tests.cache.disks import MIB, load, name, piece, put, record, running

SETTING = "PARPARCHIK_CACHE_DIR"
DATA = b"as it was"


def pieces_in(directory: Path) -> int:
    return sum(1 for each in directory.rglob("*") if len(each.name) == 64)


async def found(directory: Path, key: str) -> bytes | None:
    """What a process that begins now has of it."""
    async with running(directory) as disk:
        known = disk.record(name(key), "")
        return None if known is None else await load(disk, piece(key), known)


async def with_pieces(directory: Path, *keys: str) -> None:
    async with running(directory) as disk:
        for key in keys:
            await put(disk, key, DATA)


async def parts_of(directory: Path, count: int) -> DiskParts:
    parts = DiskParts(directory, count, SETTING)
    await parts.claim()
    return parts


async def test_what_is_noted_is_not_believed(tmp_path: Path) -> None:
    parts = await parts_of(tmp_path, 2)
    for number in (1, 2):
        await with_pieces(part_of(tmp_path, number), "a", "b", "below/c")
    assert await parts.note(1, [name("a"), name("\udcff")], [("bucket", "below/")])
    assert await found(part_of(tmp_path, 1), "a") is None
    assert await found(part_of(tmp_path, 1), "below/c") is None
    assert await found(part_of(tmp_path, 1), "b") == DATA
    assert await found(part_of(tmp_path, 2), "a") == DATA
    parts.release()


async def test_a_part_that_somebody_has_is_not_written_to(tmp_path: Path) -> None:
    parts = await parts_of(tmp_path, 2)
    async with running(part_of(tmp_path, 1)):
        assert not await parts.note(1, [name("a")], ())
        assert await parts.note(2, [name("a")], ())  # where nobody has ever been
    assert await parts.note(1, [name("a")], ())
    parts.release()


async def test_changes_at_the_same_time_are_all_noted(tmp_path: Path) -> None:
    keys = [f"k{n}" for n in range(20)]
    parts = await parts_of(tmp_path, 1)
    await with_pieces(part_of(tmp_path, 1), *keys)
    noted: list[bool] = []

    async def note(key: str) -> None:
        noted.append(await parts.note(1, [name(key)], ()))

    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(note, key)
    assert noted == [True] * len(keys)
    for key in keys[:3]:
        assert await found(part_of(tmp_path, 1), key) is None
    parts.release()


async def test_a_directory_has_one_parent(tmp_path: Path) -> None:
    parts = await parts_of(tmp_path, 2)
    for check in (check_directory(tmp_path, SETTING), DiskParts(tmp_path, 3, SETTING).claim()):
        with pytest.raises(ConfigError, match="another process uses it"):
            await check
    parts.release()
    await check_directory(tmp_path, SETTING)
    await check_directory(tmp_path, SETTING)


async def test_fewer_processes_and_more(tmp_path: Path) -> None:
    """A part that nobody has is told of no change."""
    parts = await parts_of(tmp_path, 3)
    for number in (1, 2, 3):
        await with_pieces(part_of(tmp_path, number), "a")
    parts.release()
    parts = await parts_of(tmp_path, 2)
    await parts.run()
    assert pieces_in(tmp_path) == 2
    parts.release()
    parts = await parts_of(tmp_path, 3)
    assert await found(part_of(tmp_path, 1), "a") == DATA
    assert await found(part_of(tmp_path, 3), "a") is None
    parts.release()


async def test_one_process_and_several(tmp_path: Path) -> None:
    await with_pieces(tmp_path, "a")
    parts = await parts_of(tmp_path, 1)
    await with_pieces(part_of(tmp_path, 1), "a")
    parts.release()
    assert await found(tmp_path, "a") is None
    assert not part_of(tmp_path, 1).exists()
    with trio.fail_after(10):
        async with running(tmp_path):
            while list((tmp_path / "tmp").iterdir()):  # noqa: ASYNC110
                await trio.sleep(0.01)
    assert pieces_in(tmp_path) == 0


async def test_a_directory_that_was_left(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Also where it is left only now."""
    disk = DiskStore(tmp_path, MIB)
    await nursery.start(disk.run)
    await put(disk, "a", DATA)
    nursery.start_soon(discard_directory, tmp_path, SETTING)
    await trio.sleep(0.3)
    assert pieces_in(tmp_path) == 1
    disk.let_go()
    with trio.fail_after(10):
        while pieces_in(tmp_path):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert await found(tmp_path, "a") is None


# -- from one to the next, in one process ---------------------------------------------------------


async def test_the_next_has_it_when_the_one_before_lets_go(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    old = DiskStore(tmp_path, MIB)
    await nursery.start(old.run)
    for key in ("a", "b", "c"):
        known = await put(old, key, DATA)
    opened = await old.open(piece("a"), known)
    assert opened is not None
    new = DiskStore(tmp_path, MIB, patient=True)
    with trio.fail_after(5):
        await nursery.start(new.run)  # it waits, and nobody has to wait for it
    assert new.record(name("a"), "") is None
    assert not await new.save(piece("d"), record(len(DATA)), [DATA])
    new.forget(name("b"))  # a change that only it was told of yet
    old.forget(name("c"))
    assert await old.settle()
    assert not await new.settle()
    saves = old.statistics().saves
    old.let_go()
    with trio.fail_after(5):
        while not new.statistics().rebuild_done:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert await load(new, piece("a"), known) == DATA
    assert new.record(name("b"), "") is None
    assert new.record(name("c"), "") is None
    assert old.record(name("a"), "") is None
    assert not await old.save(piece("e"), record(len(DATA)), [DATA])
    assert (old.statistics().saves, old.statistics().files) == (saves, 0)
    opened.close()
    nursery.cancel_scope.cancel()


async def test_one_that_was_told_to_let_go_before_it_began(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    disk = DiskStore(tmp_path, MIB)
    disk.let_go()
    await disk.run()
    async with running(tmp_path):
        pass


async def test_who_is_not_patient_is_told(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(ConfigError, match="another process uses it"):
            await DiskStore(tmp_path, MIB).run()
