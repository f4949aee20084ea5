"""S3 fails while clients ask: no route is lost, no manifest touched, nothing called absent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Denied, NoBucket, Unavailable, UpstreamError, WrongRegion
from parparchik.registry import PersistFailed, Service
from tests.fakes import FakeBucket, denied, server_error, unavailable
from tests.registry.services import FIRST, SECOND, Crowd, ask, register, service_on, where

DAY_S = 86_400.0


def hang(store: FakeBucket) -> None:
    store.hanging = True


def fail_with(error: Callable[[], UpstreamError], store: FakeBucket) -> None:
    store.fail(error)


Outage = Callable[[FakeBucket], None]

OUTAGES: dict[str, Outage] = {
    "refused connections": partial(fail_with, unavailable),
    "silence": hang,
    "403": partial(fail_with, denied),
    "500": partial(fail_with, server_error),
    "no such bucket": partial(fail_with, partial(NoBucket, "no such bucket")),
    "another region": partial(fail_with, partial(WrongRegion, "elsewhere", region="eu-west-1")),
}
outages = pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())


async def started(*stores: FakeBucket, **settings: object) -> Service:
    """A service that has read and reconciled; its manifests are written."""
    service = service_on(*stores, **settings)
    await service.start_up()
    for store in stores:
        store.asked.clear()
    return service


@outages
async def test_known_routes_are_answered_stale_for_a_day_and_then_refused(
    autojump_clock: MockClock, nursery: trio.Nursery, outage: Outage
) -> None:
    store = FakeBucket(FIRST, "asked", "long tail")
    service = await started(store, stale_if_error_s=DAY_S, manifest_window_s=600.0)
    nursery.start_soon(service.renew)
    nursery.start_soon(service.write_manifests)
    await ask(service, "asked")
    await trio.sleep(3 * DAY_S)  # nobody asks; then S3 fails
    outage(store)
    manifest = store.manifest
    begun = trio.current_time()
    while trio.current_time() - begun < DAY_S - 3600:
        for key in ("asked", "long tail"):
            answer = await ask(service, key)
            assert answer.entry is not None
            assert answer.fresh is False
        await trio.sleep(1800)
    await trio.sleep(2 * 3600)
    for key in ("asked", "long tail"):
        with pytest.raises(UpstreamError):
            await ask(service, key)
    assert service.count == 2
    assert store.manifest == manifest
    assert not store.requests["put"]
    store.mend()
    await trio.sleep(10)
    assert await where(service, "asked") == "first"
    assert (await ask(service, "asked")).fresh is True


@pytest.mark.parametrize("outage", [OUTAGES["refused connections"], OUTAGES["silence"]])
async def test_what_is_refused_in_the_end_says_when_to_come_again(
    autojump_clock: MockClock, outage: Outage
) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store, stale_if_error_s=0.0)
    outage(store)
    crowd = Crowd(service)
    for _ in range(20):
        await crowd.request("k")
        await trio.sleep(0.2)
    # The first failure begins the outage; whoever is not refused with it is refused later.
    refusals = [error for error in crowd.errors if isinstance(error, Unavailable)]
    assert len(refusals) == len(crowd.errors) >= 15
    assert all(error.status == 503 and error.retry_after_s >= 1 for error in refusals)


@outages
async def test_an_unknown_key_is_an_error_and_never_absent(
    autojump_clock: MockClock, outage: Outage
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND)
    service = await started(first, second)
    outage(second)
    for _ in range(20):
        with pytest.raises(UpstreamError):
            await ask(service, "unknown")
        await trio.sleep(1)
    second.mend()
    await trio.sleep(10)
    assert await where(service, "unknown") is None


@outages
async def test_an_unknown_key_is_found_where_s3_does_answer(
    autojump_clock: MockClock, outage: Outage
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND, "new")
    service = await started(first, second)
    outage(first)
    first.timeout_s = 1.0
    assert await where(service, "new") == "second"


@outages
async def test_gone_from_its_bucket_and_the_others_cannot_tell(
    autojump_clock: MockClock, nursery: trio.Nursery, outage: Outage
) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND)
    service = await started(first, second)
    nursery.start_soon(service.write_manifests)
    assert await where(service, "k") == "first"
    first.remove("k")
    outage(second)
    await trio.sleep(3)
    for _ in range(10):
        with pytest.raises(UpstreamError):
            await ask(service, "k")
        await trio.sleep(0.1)
    assert service.count == 1
    assert first.manifest_keys == {"k"}
    second.mend()
    second.add("k")
    await trio.sleep(10)
    assert await where(service, "k") == "second"


async def test_gone_from_its_bucket_and_its_bucket_then_fails_too(
    autojump_clock: MockClock,
) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND)
    service = await started(first, second)
    first.remove("k")
    second.fail()
    with pytest.raises(UpstreamError):
        await ask(service, "k")
    first.fail()
    with pytest.raises(UpstreamError):
        await ask(service, "k")


@outages
async def test_the_management_api_is_told_of_the_outage_and_changes_nothing(
    autojump_clock: MockClock, outage: Outage
) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND, "l")
    service = await started(first, second)
    before = list(service.registry.sorted_batches())
    outage(second)
    with pytest.raises(UpstreamError):
        await service.update("l")
    with pytest.raises(UpstreamError):
        await service.update("unknown")
    with pytest.raises(UpstreamError):
        await service.relocate("k")
    with pytest.raises(UpstreamError):
        await service.sync()
    assert list(service.registry.sorted_batches()) == before
    assert not first.requests["put"]
    assert not second.requests["put"]


async def test_an_outage_is_shown_and_so_is_its_end(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND, "l")
    service = await started(first, second)
    second.fail()
    await Crowd(service).request("l")
    assert service.statistics().reachable == (("first", True), ("second", False))
    assert service.statistics().errors == (("first", ""), ("second", "S3 is away"))
    second.mend()
    second.fail(denied)
    await Crowd(service).request("l")
    assert service.statistics().reachable == (("first", True), ("second", True))
    assert service.statistics().errors == (("first", ""), ("second", "S3 says 403"))
    second.mend()
    await Crowd(service).request("l")
    assert service.statistics().errors == (("first", ""), ("second", ""))


async def test_a_single_key_that_always_fails_does_not_stop_the_others(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, *"abcd")
    service = await started(store, verify_ttl_s=0.0)
    store.failing_keys["a"] = unavailable
    for _ in range(5):
        assert (await ask(service, "a")).fresh is False
        for key in "bcd":
            assert (await ask(service, key)).fresh is True


async def test_after_a_few_failures_nobody_waits_for_s3_any_more(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store, verify_ttl_s=0.0)
    store.hanging = True
    for _ in range(5):
        await ask(service, "k")
    begun = trio.current_time()
    for _ in range(50):
        assert (await ask(service, "k")).fresh is False
        with pytest.raises(Unavailable):
            await ask(service, "unknown")
    assert trio.current_time() == begun
    assert store.requests["head"] == 5


async def test_meanwhile_one_request_now_and_then_tries_again(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store, verify_ttl_s=0.0)
    store.fail()
    for _ in range(600):
        assert (await ask(service, "k")).fresh is False
        await trio.sleep(0.1)
    assert 10 <= store.requests["head"] <= 30
    store.mend()
    await trio.sleep(5.1)
    store.asked.clear()
    for _ in range(10):
        assert (await ask(service, "k")).fresh is True
    assert store.requests["head"] == 10


async def test_an_update_whose_manifest_cannot_be_written_says_so(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store)
    store.add("new")
    store.fail(partial(Denied, "PUT denied"), "put")
    with pytest.raises(PersistFailed, match="first: PUT denied"):
        await service.update("new")
    assert await where(service, "new") == "first"
    store.mend()
    assert await service.update("new") is not None
    assert store.manifest_keys == {"k", "new"}


async def test_a_bucket_that_cannot_be_written_does_not_hinder_updates_in_another(
    autojump_clock: MockClock,
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND)
    service = await started(first, second)
    second.fail(denied, "put")
    register(service, 1, "unwritten")
    first.add("new")
    assert await service.update("new") is not None
    assert first.manifest_keys == {"new"}
    with pytest.raises(PersistFailed):
        await service.shutdown()
