"""Several processes, one manifest: what another wrote is merged, what nobody can read is kept."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Unavailable
from parparchik.registry import PersistFailed
from parparchik.registry.entries import pack
from tests.fakes import Conditions, FakeBucket
from tests.registry.processes import processes
from tests.registry.services import FIRST

KEY = FIRST.manifest_key


@pytest.mark.parametrize("conditions", Conditions)
async def test_what_another_wrote_is_merged_and_not_overwritten(conditions: Conditions) -> None:
    store = FakeBucket(FIRST, conditions=conditions)
    one, two = await processes(store, 2)
    one.add("by one")
    await one.writer.flush()
    two.add("by two")
    await two.writer.flush()
    assert store.manifest_keys == {"by one", "by two"}
    assert two.keys == {"by one", "by two"}
    one.add("by one, later")
    await one.writer.flush()
    assert store.manifest_keys == {"by one", "by two", "by one, later"}


@pytest.mark.parametrize("conditions", Conditions)
async def test_what_we_removed_is_not_merged_in_again(conditions: Conditions) -> None:
    store = FakeBucket(FIRST, conditions=conditions)
    store.add_manifest("stays", "goes")
    one, two = await processes(store, 2)
    two.add("by two")
    await two.writer.flush()
    one.registry.discard("goes")
    one.add("by one")
    await one.writer.flush()
    assert store.manifest_keys == {"stays", "by one", "by two"}
    assert "goes" not in one.keys


async def test_what_we_removed_while_merging_is_not_merged_in_either() -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("stays", "goes")
    one, two = await processes(store, 2)
    two.add("by two")
    await two.writer.flush()

    def remove(operation: str, key: str) -> None:
        if operation == "get":
            one.registry.discard("goes")

    one.add("by one")
    store.on_request = remove
    await one.writer.flush()
    assert one.keys == {"stays", "by one", "by two"}
    await one.writer.flush()
    assert store.manifest_keys == {"stays", "by one", "by two"}


async def test_what_we_removed_is_remembered_until_it_could_be_written() -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("stays", "goes")
    one, two = await processes(store, 2)
    one.registry.discard("goes")
    store.fail()
    with pytest.raises(PersistFailed):
        await one.writer.flush()
    store.mend()
    two.add("by two")
    await two.writer.flush()
    await one.writer.flush()
    assert store.manifest_keys == {"stays", "by two"}


async def test_what_changes_while_a_write_is_under_way_is_written_next() -> None:
    store = FakeBucket(FIRST)
    (one,) = await processes(store, 1)
    one.add("first")
    store.on_request = lambda operation, key: one.add("second")
    await one.writer.flush()
    store.on_request = None
    assert store.manifest_keys == {"first"}
    await one.writer.flush()
    assert store.manifest_keys == {"first", "second"}


async def test_what_we_know_of_a_file_stands_against_what_another_wrote() -> None:
    store = FakeBucket(FIRST)
    one, two = await processes(store, 2)
    two.registry.put("k", pack(0, 2, 2))
    await two.writer.flush()
    one.registry.put("k", pack(0, 111, 2))
    await one.writer.flush()
    assert one.registry.packed("k") == pack(0, 111, 2)
    manifest = store.manifest
    assert manifest is not None
    assert [row["size"] for row in manifest["files"]] == [111]


async def test_a_manifest_that_somebody_deleted_is_written_again() -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("a")
    (one,) = await processes(store, 1)
    one.add("b")
    await one.writer.flush()
    store.remove(KEY)
    one.add("c")
    await one.writer.flush()
    assert store.manifest_keys == {"a", "b", "c"}


@pytest.mark.parametrize("garbage", [b"", b"{}", b'{"version":2,"files":[]}', b"\xff" * 100])
async def test_garbage_in_its_place_is_kept_aside_and_then_replaced(garbage: bytes) -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("a")
    (one,) = await processes(store, 1)
    store.add(KEY, garbage)
    one.add("b")
    await one.writer.flush()
    assert store.manifest_keys == {"a", "b"}
    assert {key: store.objects[key].data for key in store.objects if key != KEY} == {
        f"{KEY}.unreadable-20260528T202640Z": garbage
    }


async def test_garbage_is_not_replaced_as_long_as_no_copy_can_be_kept() -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("a")
    (one,) = await processes(store, 1)
    store.add(KEY, b"garbage")
    one.add("b")

    def refuse_copies(operation: str, key: str) -> None:
        if operation == "put" and "unreadable" in key:
            raise Unavailable("no copies today")

    store.on_request = refuse_copies
    for _ in range(3):
        with pytest.raises(PersistFailed, match="no copies today"):
            await one.writer.flush()
        assert store.objects[KEY].data == b"garbage"
    store.on_request = None
    await one.writer.flush()
    assert store.manifest_keys == {"a", "b"}


async def test_garbage_is_never_replaced_by_an_empty_manifest() -> None:
    store = FakeBucket(FIRST)
    store.add_manifest("a")
    (one,) = await processes(store, 1)
    one.registry.discard("a")
    store.add(KEY, b"garbage")
    await one.writer.flush()
    await one.writer.flush()
    assert store.objects[KEY].data == b"garbage"


async def test_a_merge_that_was_cancelled_half_way_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST)
    one, two = await processes(store, 2)
    # In the layout of ours, and long enough to be merged in several pieces.
    two.add(*(f"by two/{n}" for n in range(5000)))
    await two.writer.flush()
    one.add("by one")
    scope = trio.CancelScope()

    async def cancel_in_the_middle() -> None:
        while len(one.registry) < 2:
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_in_the_middle)
        with scope:
            await one.file.write()
    assert scope.cancelled_caught
    assert len(one.registry) < 5001
    await one.writer.flush()
    assert len(store.manifest_keys) == 5001


async def test_a_manifest_that_changes_all_the_time_is_given_up_and_tried_again() -> None:
    store = FakeBucket(FIRST)
    (one,) = await processes(store, 1)
    one.add("a")
    await one.writer.flush()
    times = 0

    def change(operation: str, key: str) -> None:
        nonlocal times
        if operation == "put":
            times += 1
            store.add_manifest(f"by another/{times}")

    store.on_request = change
    one.add("b")
    with pytest.raises(PersistFailed, match="changes faster than it can be merged"):
        await one.writer.flush()
    store.on_request = None
    await one.writer.flush()
    assert store.manifest_keys >= {"a", "b", f"by another/{times}"}
