"""One HEAD for many requests: who shares it, who may not, and what becomes of those who wait."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.errors import Overloaded, Unavailable
from tests.fakes import FakeBucket
from tests.registry.services import FIRST, SECOND, Crowd, ask, register, service_on, where


async def test_always_a_request_gets_no_head_that_began_before_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store, verify="always")
    register(service, 0, "k")
    early = Crowd(service)
    nursery.start_soon(early.request, "k")
    await trio.sleep(0.5)
    store.remove("k")
    assert await where(service, "k") is None
    assert [answer.entry is not None for answer in early.answers] == [True]


async def test_always_requests_share_a_head_that_waits_for_its_slot(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k", "slow")
    store.delay_s = 1.0
    service = service_on(store, verify="always", max_probes=1)
    register(service, 0, "k", "slow")
    crowd = Crowd(service)
    nursery.start_soon(crowd.request, "slow")
    await wait_all_tasks_blocked()
    for _ in range(20):
        nursery.start_soon(crowd.request, "k")
        await trio.sleep(0.01)
    assert store.heads_of("k") == 0
    await trio.sleep(1)
    nursery.start_soon(crowd.request, "k")  # comes while the shared one is under way
    await trio.sleep(3)
    assert store.heads_of("k") == 2
    assert len(crowd.answers) == 22


async def test_ttl_a_request_does_share_a_head_that_began_before_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store)
    register(service, 0, "k")
    crowd = Crowd(service)
    nursery.start_soon(crowd.request, "k")
    await trio.sleep(0.5)
    await crowd.request("k")
    assert store.requests == {"head": 1}


async def test_update_gets_a_head_of_its_own_while_requests_wait_for_another(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    store.add_manifest()
    service = service_on(store)
    await service.start_up()
    store.delay_s = 2.0
    crowd = Crowd(service)
    nursery.start_soon(crowd.request, "k")
    await trio.sleep(0.5)
    store.delay_s = 0.1
    store.add("k", b"new")
    entry = await service.update("k")
    assert entry is not None
    assert entry.size_bytes == 3
    assert not crowd.answers
    await trio.sleep(2)
    assert [answer.entry for answer in crowd.answers] == [None]
    # The answer that came last was about an earlier state; it must not undo the later one.
    assert service.registry.get("k") == entry


async def test_a_client_that_leaves_takes_nobody_else_with_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store)
    crowd, leaver = Crowd(service), trio.CancelScope()

    async def leave() -> None:
        with leaver:
            await ask(service, "k")

    nursery.start_soon(leave)
    await wait_all_tasks_blocked()
    for _ in range(10):
        nursery.start_soon(crowd.request, "k")
    await trio.sleep(0.5)
    leaver.cancel()
    await trio.sleep(5)
    assert leaver.cancelled_caught
    assert [answer.entry is not None for answer in crowd.answers] == [True] * 10
    assert store.requests == {"head": 2}


async def test_a_client_that_leaves_while_it_waits_for_another_changes_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store)
    crowd = Crowd(service)
    nursery.start_soon(crowd.request, "k")
    await wait_all_tasks_blocked()
    with trio.move_on_after(0.5):
        await ask(service, "k")
    await trio.sleep(1)
    assert len(crowd.answers) == 1
    assert store.requests == {"head": 1}


async def test_all_clients_leave_and_the_next_one_is_answered(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store, max_probes=1, max_waiting=3)
    for _ in range(5):
        with trio.move_on_after(0.5):
            await Crowd(service).requests("k", "k", "other")
    assert await where(service, "k") == "first"


@pytest.mark.parametrize("max_probes", [1, 7])
async def test_heads_in_flight_are_bounded(autojump_clock: MockClock, max_probes: int) -> None:
    stores = FakeBucket(FIRST), FakeBucket(SECOND)
    for store in stores:
        store.delay_s = 0.1
    service = service_on(*stores, max_probes=max_probes)
    register(service, 0, *(f"known{n}" for n in range(50)))
    keys = [f"known{n}" for n in range(50)] + [f"unknown{n}" for n in range(50)]
    await Crowd(service).requests(*keys)
    most = [store.most_in_flight for store in stores]
    # Known keys ask the first bucket alone, so the second sees the limit only by chance.
    assert most[0] == max_probes
    assert 0 < most[1] <= max_probes


async def test_too_many_waiting_are_turned_away_but_known_routes_still_answer(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "known")
    store.delay_s = 1.0
    service = service_on(store, max_waiting=3)
    register(service, 0, "known")
    crowd = Crowd(service)
    for key in ("a", "b", "b"):
        nursery.start_soon(crowd.request, key)
    await wait_all_tasks_blocked()
    with pytest.raises(Overloaded) as refusal:
        await ask(service, "c")
    assert refusal.value.status == 503
    assert refusal.value.retry_after_s >= 1
    answer = await ask(service, "known")
    assert answer.entry is not None
    assert answer.fresh is False
    await trio.sleep(2)
    assert [answer.entry for answer in crowd.answers] == [None] * 3
    assert store.requests == {"head": 2}
    assert (await ask(service, "known")).fresh is True


async def test_a_queue_of_ours_that_is_full_says_nothing_about_s3(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store)
    store.fail(partial(Overloaded, "no connection is free"), "head")
    for _ in range(20):
        await Crowd(service).request("k")
    assert dict(service.statistics().reachable) == {"first": True}
    store.mend()
    assert await where(service, "k") == "first"


async def test_everyone_who_waits_hears_the_same_failure(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    store.hanging = True
    service = service_on(store)
    crowd = Crowd(service)
    await crowd.requests(*["k"] * 100)
    assert len(crowd.errors) == 100
    assert all(isinstance(error, Unavailable) for error in crowd.errors)
    assert store.requests == {"head": 1}
