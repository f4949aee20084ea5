"""When S3 is asked whether a known route is still true, and how often."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.errors import Unavailable
from tests.fakes import FakeBucket
from tests.registry.services import FIRST, SECOND, Crowd, ask, register, service_on, where


async def test_younger_than_half_the_ttl_nobody_is_asked(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify_ttl_s=10.0)
    register(service, 0, "k")
    nursery.start_soon(service.renew)
    assert (await ask(service, "k")).fresh is True
    for _ in range(10):
        await trio.sleep(0.49)
        assert service.resolve_nowait("k") is not None
    assert store.requests == {"head": 1}


async def test_from_half_the_ttl_on_one_head_in_the_background(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify_ttl_s=10.0)
    register(service, 0, "k")
    nursery.start_soon(service.renew)
    await ask(service, "k")
    await trio.sleep(6)
    store.delay_s = 1.0
    for _ in range(100):
        answer = service.resolve_nowait("k")
        assert answer is not None
        assert answer.fresh is True
        await trio.sleep(0.005)
    await trio.sleep(4)  # 10.5 s after the first HEAD, 3.5 s after the second
    assert service.resolve_nowait("k") is not None
    assert store.requests == {"head": 2}


async def test_a_background_head_that_finds_the_file_gone_is_heeded(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify_ttl_s=10.0)
    register(service, 0, "k")
    nursery.start_soon(service.renew)
    await ask(service, "k")
    store.remove("k")
    await trio.sleep(6)
    assert await where(service, "k") == "first"
    await wait_all_tasks_blocked()
    assert await where(service, "k") is None
    assert service.count == 0


async def test_a_background_head_that_fails_is_tried_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify_ttl_s=10.0)
    register(service, 0, "k")
    nursery.start_soon(service.renew)
    await ask(service, "k")
    await trio.sleep(6)
    store.fail()
    assert service.resolve_nowait("k") is not None
    await wait_all_tasks_blocked()
    store.mend()
    assert service.resolve_nowait("k") is not None
    await wait_all_tasks_blocked()
    await trio.sleep(4.5)  # past the first verification's life
    assert service.resolve_nowait("k") is not None
    assert store.requests == {"head": 3}


async def test_older_than_the_ttl_one_head_for_all_who_wait(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "k")
    store.delay_s = 1.0
    service = service_on(store, verify_ttl_s=10.0)
    register(service, 0, "k")
    crowd = Crowd(service)
    await crowd.requests(*["k"] * 50)
    await trio.sleep(10)
    assert service.resolve_nowait("k") is None
    await crowd.requests(*["k"] * 50)
    assert [answer.fresh for answer in crowd.answers] == [True] * 100
    assert store.requests == {"head": 2}


async def test_what_the_head_says_is_what_the_entry_becomes(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    store.add("k", b"12345", last_modified_s=1_700_000_000)
    service = service_on(store)
    register(service, 0, "k")
    entry = (await ask(service, "k")).entry
    assert entry is not None
    assert (entry.size_bytes, entry.last_modified_s) == (5, 1_700_000_000)
    assert service.registry.get("k") == entry


async def test_an_entry_that_changed_is_not_answered_from_its_old_verification(
    autojump_clock: MockClock,
) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND, "k")
    service = service_on(first, second)
    register(service, 1, "k")
    assert await where(service, "k") == "second"
    register(service, 0, "k")  # a manifest that was read meanwhile
    assert await where(service, "k") == "first"
    assert first.heads_of("k") == 1


async def test_a_ttl_of_nothing_asks_at_every_request(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify_ttl_s=0.0)
    register(service, 0, "k")
    for _ in range(3):
        assert await where(service, "k") == "first"
    assert store.requests == {"head": 3}


async def test_always_asks_at_every_request(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "k")
    service = service_on(store, verify="always", verify_ttl_s=3600.0)
    register(service, 0, "k")
    for _ in range(3):
        assert (await ask(service, "k")).fresh is True
    assert store.requests == {"head": 3}


async def test_never_asks_nobody_about_known_routes(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    service = service_on(store, verify="never")
    register(service, 0, "k")
    for _ in range(3):
        answer = service.resolve_nowait("k")
        assert answer is not None
        assert answer.entry is not None
        assert answer.fresh is None
        await trio.sleep(80_000)
    assert not store.requests


async def test_never_still_searches_for_unknown_keys_and_says_nothing_of_freshness(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "new")
    service = service_on(store, verify="never")
    assert await where(service, "new") == "first"
    assert (await ask(service, "new")).fresh is None
    assert store.requests == {"head": 1}
    assert await where(service, "nowhere") is None


async def test_never_sends_nobody_where_a_file_is_known_to_be_gone(
    autojump_clock: MockClock,
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND, "k")
    service = service_on(first, second, verify="never")
    register(service, 0, "k")
    second.fail()
    crowd = Crowd(service)
    with pytest.raises(Unavailable):
        await service.update("k")
    await crowd.request("k")
    assert not crowd.answers
    second.mend()
    assert await where(service, "k") == "second"


async def test_verifications_are_counted_by_outcome(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = FakeBucket(FIRST, "k", "new")
    service = service_on(store)
    register(service, 0, "k", "gone")
    nursery.start_soon(service.renew)
    for key in ("k", "k", "new", "gone", "gone"):
        await ask(service, key)
    await trio.sleep(1.5)
    await ask(service, "k")
    await wait_all_tasks_blocked()
    store.fail()
    await trio.sleep(2)
    crowd = Crowd(service)
    await crowd.requests("k", "k", "nowhere")
    counts = dict(service.statistics().verifications)
    expected = {"fresh": 2, "present": 2, "found": 1, "absent": 1, "negative": 1, "renewed": 1}
    expected |= {"shared": 1, "stale": 2, "failed": 1, "overloaded": 0}
    assert counts == expected
    assert service.statistics().stale_answers == 2
