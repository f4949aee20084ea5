"""Conditional writes on every kind of server: nothing that another writer wrote is overwritten."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from parparchik.errors import PreconditionFailed
from parparchik.registry.condition import ConditionalWriter, Support
from tests.fakes import Conditions, FakeBucket, unavailable

KEY = ".parparchik/files.json"

every_server = pytest.mark.parametrize("conditions", Conditions)
sound_servers = pytest.mark.parametrize("conditions", [Conditions.QUOTED, Conditions.UNQUOTED])


def etag(store: FakeBucket) -> str:
    return store.objects[KEY].head.etag


@every_server
async def test_created_then_replaced_again_and_again(conditions: Conditions) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen: str | None = None
    for data in (b"1", b"2", b"3", b"4"):
        seen = await writer.replace([data], seen)
        assert store.objects[KEY].data == data
        assert seen == etag(store)


@every_server
async def test_another_writers_object_is_never_replaced(conditions: Conditions) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen: str | None = None
    for round_ in range(4):
        store.add(KEY, b"by another %d" % round_)
        with pytest.raises(PreconditionFailed):
            await writer.replace([b"ours"], seen)
        assert store.objects[KEY].data == b"by another %d" % round_
        seen = await writer.replace([b"ours %d" % round_], etag(store))


@every_server
async def test_an_object_that_was_deleted_is_not_written_over(conditions: Conditions) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    first = await writer.replace([b"1"], None)
    second = await writer.replace([b"2"], first)
    store.remove(KEY)
    with pytest.raises(PreconditionFailed):
        await writer.replace([b"3"], second)
    assert KEY not in store.objects
    await writer.replace([b"3"], None)


@every_server
async def test_what_a_server_can_do_is_found_out_once(conditions: Conditions) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen = await writer.replace([b"1"], await writer.replace([b"0"], None))
    expected = {Conditions.QUOTED: Support.QUOTED, Conditions.UNQUOTED: Support.UNQUOTED}
    assert writer.support is expected.get(conditions, Support.NONE)
    store.asked.clear()
    await writer.replace([b"2"], seen)
    conditional = writer.support is not Support.NONE
    assert store.requests == ({"put": 1} if conditional else {"head": 1, "put": 1})


@sound_servers
async def test_a_change_in_the_very_last_moment_is_noticed(conditions: Conditions) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen = await writer.replace([b"1"], await writer.replace([b"0"], None))

    def change(operation: str, key: str) -> None:
        if operation == "put":
            store.add(KEY, b"by another")

    store.on_request = change
    store.asked.clear()
    with pytest.raises(PreconditionFailed):
        await writer.replace([b"2"], seen)
    assert store.requests["put"] == 1  # the body is large; once is enough to be refused
    assert store.objects[KEY].data == b"by another"


@sound_servers
async def test_a_conflict_that_passes_does_not_change_what_is_believed(
    conditions: Conditions,
) -> None:
    """409 ConditionalRequestConflict comes although the object is still the one that was named."""
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen = await writer.replace([b"1"], await writer.replace([b"0"], None))
    store.fail(lambda: PreconditionFailed("409"), "put")
    with pytest.raises(PreconditionFailed):
        await writer.replace([b"2"], seen)
    store.mend()
    store.asked.clear()
    await writer.replace([b"2"], seen)
    assert store.requests == {"put": 1}


async def test_a_server_that_learns_to_compare_quotes_is_followed() -> None:
    store = FakeBucket(conditions=Conditions.UNQUOTED)
    writer = ConditionalWriter(store, KEY)
    seen = await writer.replace([b"1"], await writer.replace([b"0"], None))
    store.conditions = Conditions.QUOTED
    await writer.replace([b"2"], seen)
    assert store.objects[KEY].data == b"2"


async def test_a_server_without_etags_is_written_to_all_the_same() -> None:
    store = FakeBucket(conditions=Conditions.IGNORED)
    store.etags = False
    writer = ConditionalWriter(store, KEY)
    seen = None
    for data in (b"1", b"2", b"3"):
        seen = await writer.replace([data], seen)
    assert store.objects[KEY].data == b"3"
    store.remove(KEY)
    with pytest.raises(PreconditionFailed):
        await writer.replace([b"4"], seen)


@every_server
async def test_a_failure_says_nothing_about_conditions(
    autojump_clock: MockClock, conditions: Conditions
) -> None:
    store = FakeBucket(conditions=conditions)
    writer = ConditionalWriter(store, KEY)
    seen = await writer.replace([b"0"], None)
    for operation in ("head", "put"):
        store.fail(unavailable, operation)
        with pytest.raises(type(unavailable())):
            await writer.replace([b"1"], seen)
        store.mend()
    assert writer.support is Support.UNKNOWN
    await writer.replace([b"1"], seen)
    assert store.objects[KEY].data == b"1"
