"""Verification without a task: when it begins, what it comes to, and what it leaves."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from parparchik.errors import Unavailable, UpstreamError
from parparchik.model import Unfinished
from parparchik.registry import ABSENT, Resolution, Service
from tests.fakes import FakeBucket, PromptBucket, unavailable
from tests.registry.services import FIRST, SECOND, register, service_on

Told = Resolution | Unfinished[Resolution]


def always(*stores: FakeBucket, **settings: object) -> Service:
    service = service_on(*stores, verify="always", **settings)
    register(service, 0, "k")
    return service


def soon(service: Service, key: str = "k") -> list[Told]:
    told: list[Told] = []
    assert service.resolve_soon(key, told.append)
    assert not told
    return told


async def finish(told: list[Told]) -> Resolution:
    [unfinished] = told
    assert isinstance(unfinished, Unfinished)
    return await unfinished.finish()


async def test_an_unchanged_file_is_the_same_resolution() -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store)
    answers: list[Told] = []
    for _ in range(3):
        told = soon(service)
        store.answer()
        answers += told
    assert isinstance(answers[0], Resolution)
    assert answers[0].fresh is True
    assert answers[0] is answers[1] is answers[2]
    assert dict(service.statistics().verifications)["present"] == 3
    assert not store.requests


async def test_also_when_it_was_asked_for_by_a_task() -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store)
    told = soon(service)
    store.answer()
    assert await service.resolve("k") is told[0]


async def test_a_file_that_changed_is_another() -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store)
    before = soon(service)
    store.answer()
    store.add("k", b"12345")
    after = soon(service)
    store.answer()
    [now] = after
    assert isinstance(now, Resolution)
    assert now.entry is not None
    assert now.entry.size_bytes == 5
    assert service.registry.get("k") == now.entry
    assert now != before[0]


async def test_an_entry_that_changed_meanwhile_is_set_right() -> None:
    store, other = PromptBucket(FIRST, "k"), FakeBucket(SECOND)
    service = always(store, other)
    soon(service)
    store.answer()
    told = soon(service)
    service.registry.discard("k")
    register(service, 1, "k")
    store.answer()
    [now] = told
    assert isinstance(now, Resolution)
    assert now.entry is not None
    assert now.entry.bucket == FIRST
    assert service.registry.get("k") == now.entry


@pytest.mark.parametrize("mode", ["ttl", "never"])
async def test_other_modes_have_memory(mode: str) -> None:
    service = service_on(PromptBucket(FIRST, "k"), verify=mode)
    register(service, 0, "k")
    assert not service.resolve_soon("k", lambda _: None)


async def test_an_unknown_key_takes_a_task() -> None:
    store = PromptBucket(FIRST, "new")
    assert not always(store).resolve_soon("new", lambda _: None)
    assert not store.begun


async def test_where_nothing_can_begin_the_slot_stays_free() -> None:
    store = PromptBucket(FIRST, "k")
    store.ready = False
    service = always(store, max_probes=1)
    for _ in range(3):
        assert not service.resolve_soon("k", lambda _: None)
    assert (await service.resolve("k")).fresh is True


async def test_heads_under_way_are_bounded() -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store, max_probes=2)
    told = soon(service) + soon(service)
    assert not service.resolve_soon("k", lambda _: None)
    store.answer()
    soon(service)
    assert len(store.begun) == 2
    assert not told


async def test_who_has_no_use_for_the_rest_holds_nothing() -> None:
    store = PromptBucket(FIRST)
    service = always(store, max_probes=1)
    for _ in range(3):
        told = soon(service)
        store.answer()
        assert isinstance(told[0], Unfinished)
    assert service.registry.get("k") is not None


async def test_gone_is_looked_for_elsewhere(autojump_clock: MockClock) -> None:
    first, second = PromptBucket(FIRST), FakeBucket(SECOND, "k")
    service = always(first, second)
    told = soon(service)
    first.answer()
    entry = (await finish(told)).entry
    assert entry is not None
    assert entry.bucket == SECOND


async def test_gone_everywhere_is_absent(autojump_clock: MockClock) -> None:
    store = PromptBucket(FIRST)
    service = always(store)
    told = soon(service)
    store.answer()
    assert await finish(told) is ABSENT
    assert service.count == 0


async def test_a_failure_is_answered_stale_and_opens_the_circuit(
    autojump_clock: MockClock,
) -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store)
    store.fail(unavailable)
    told = soon(service)
    store.answer()
    assert (await finish(told)).fresh is False
    assert dict(service.statistics().reachable) == {"first": False}
    assert not service.resolve_soon("k", lambda _: None), "in trouble, S3 is asked with care"
    store.mend()
    assert (await service.resolve("k")).fresh is True
    soon(service)


async def test_a_failure_for_too_long_is_raised(autojump_clock: MockClock) -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store, stale_if_error_s=1.0)
    told = soon(service)
    store.fail(unavailable)
    store.answer()
    assert (await service.resolve("k")).fresh is False
    await trio.sleep(2)
    with pytest.raises(Unavailable):
        await finish(told)


async def test_too_many_waiting_are_turned_away(autojump_clock: MockClock) -> None:
    store = PromptBucket(FIRST, "k")
    service = always(store, max_waiting=1)
    store.fail(unavailable)
    told = soon(service)
    store.answer()
    store.delay_s = 1.0
    results: list[Resolution | UpstreamError] = []

    async def ask() -> None:
        results.append(await service.resolve("other"))

    store.mend()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert (await finish(told)).fresh is False
    assert dict(service.statistics().verifications)["overloaded"] == 1
    assert results == [ABSENT]
