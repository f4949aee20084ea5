"""Reading all buckets anew, for `/list?sync=true` and for manifests that are missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.errors import UpstreamError
from parparchik.model import Bucket, ListPage
from parparchik.registry import Service
from parparchik.registry.entries import bucket_index
from tests.fakes import FakeBucket, denied, server_error, unavailable
from tests.registry.services import FIRST, SECOND, Crowd, ask, register, service_on, where

THIRD = Bucket("third", "state/files.json")
BUCKETS = (FIRST, SECOND, THIRD)

any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2)
some_keys = st.frozensets(any_key | st.sampled_from([".parparchik/x", "state/x"]), max_size=12)


def homes(service: Service) -> dict[str, str]:
    return {e.key: e.bucket.name for batch in service.registry.sorted_batches() for e in batch}


@given(st.tuples(some_keys, some_keys, some_keys), some_keys, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_the_registry_becomes_what_the_buckets_hold(
    held: tuple[frozenset[str], frozenset[str], frozenset[str]],
    known: frozenset[str],
    page_size: int,
) -> None:
    stores = [
        FakeBucket(bucket, *keys, page_size=page_size)
        for bucket, keys in zip(BUCKETS, held, strict=True)
    ]
    service = service_on(*stores)
    register(service, 1, *known)
    trio.run(service.sync, clock=MockClock(autojump_threshold=0))
    expected: dict[str, str] = {}
    in_several = set()
    for store in stores:
        for key in store.objects:
            if not store.bucket.reserves(key):
                if key in expected:
                    in_several.add(key)
                expected.setdefault(key, store.bucket.name)
    assert homes(service) == expected
    assert service.registry.duplicates == in_several
    assert [service.registry.count_in(n) for n in range(3)] == [
        sum(name == bucket.name for name in expected.values()) for bucket in BUCKETS
    ]


async def test_who_calls_while_a_pass_runs_shares_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, *(f"k{n}" for n in range(50)), page_size=10)
    store.delay_s = 1.0
    service = service_on(store)
    async with trio.open_nursery() as callers:
        for _ in range(20):
            callers.start_soon(service.sync)
            await trio.sleep(0.1)
    assert store.requests == {"list": 5}
    assert service.count == 50
    await service.sync()
    assert store.requests == {"list": 10}


@pytest.mark.parametrize("error", [unavailable, denied, server_error])
@pytest.mark.parametrize("page", [1, 3])
async def test_a_listing_that_fails_leaves_the_registry_as_it_was(
    autojump_clock: MockClock, error: Callable[[], UpstreamError], page: int
) -> None:
    first = FakeBucket(FIRST, *(f"k{n}" for n in range(50)), page_size=10)
    second = FakeBucket(SECOND, "other")
    service = service_on(first, second)
    register(service, 0, "k1", "gone")
    before = homes(service)

    def break_down(operation: str, key: str) -> None:
        if first.requests["list"] == page:
            first.fail(error)

    first.on_request = break_down
    failures: list[UpstreamError] = []

    async def call() -> None:
        try:
            await service.sync()
        except UpstreamError as failure:
            failures.append(failure)

    first.delay_s = 1.0
    async with trio.open_nursery() as callers:
        for _ in range(3):
            callers.start_soon(call)
    assert len(failures) == 3
    assert first.requests["list"] == page
    assert homes(service) == before
    first.on_request = None
    first.mend()
    await service.sync()
    assert service.count == 51


async def test_a_caller_that_leaves_takes_nobody_else_with_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "a")
    store.delay_s = 1.0
    service = service_on(store)
    leaver = trio.CancelScope()

    async def leave() -> None:
        with leaver:
            await service.sync()

    nursery.start_soon(leave)
    await wait_all_tasks_blocked()
    nursery.start_soon(service.sync)
    await trio.sleep(0.5)
    leaver.cancel()
    await trio.sleep(2)
    assert leaver.cancelled_caught
    assert homes(service) == {"a": "first"}


async def test_what_requests_learn_during_the_listing_stands(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST, "deleted", "moves", "stays"), FakeBucket(SECOND)
    service = service_on(first, second)
    register(service, 0, "deleted", "moves", "stays")
    first.delay_s = second.delay_s = 5.0
    nursery.start_soon(service.sync)
    await trio.sleep(1)  # S3 has answered, nobody has heard it yet
    first.delay_s = second.delay_s = 0.0
    first.remove("deleted")
    first.remove("moves")
    second.add("moves")
    second.add("uploaded")
    for key in ("deleted", "moves", "uploaded"):
        await ask(service, key)
    await trio.sleep(10)
    assert homes(service) == {"moves": "second", "stays": "first", "uploaded": "second"}


async def test_a_listing_that_goes_in_circles_is_an_error_and_not_a_loop(
    autojump_clock: MockClock,
) -> None:
    service = service_on(CircularBucket(FIRST, "a"))
    register(service, 0, "b")
    with trio.fail_after(60), pytest.raises(UpstreamError, match="goes in circles"):
        await service.sync()
    assert homes(service) == {"b": "first"}


class CircularBucket(FakeBucket):
    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        page = await super().list_page(start_after=start_after, prefix=prefix)
        return ListPage(page.objects, "again")


async def test_sync_writes_nothing_itself_and_the_writer_writes_what_changed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "a")
    service = service_on(store)
    await service.start_up()
    store.asked.clear()
    store.add("b")
    await service.sync()
    assert not store.requests["put"]
    nursery.start_soon(service.write_manifests)
    await trio.sleep(2)
    assert store.manifest_keys == {"a", "b"}


async def test_routes_found_by_sync_are_verified_when_asked_for(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "a")
    service = service_on(store)
    await service.sync()
    store.remove("a")
    assert await where(service, "a") is None


async def test_requests_are_answered_while_a_long_listing_is_applied(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, *(f"k{n}" for n in range(20_000)))
    service = service_on(store)
    register(service, 0, *(f"old{n}" for n in range(20_000)))
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    nursery.start_soon(somebody_else)
    await service.sync()
    nursery.cancel_scope.cancel()
    assert turns >= 500
    assert service.count == 20_000
    assert all(
        bucket_index(packed) == 0 for rows in service.registry.slices() for _, packed in rows
    )


async def test_sync_while_the_start_up_reconciles(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "a", "b")
    store.add_manifest("a", "gone")
    store.delay_s = 1.0
    service = service_on(store)
    nursery.start_soon(service.start_up)
    for _ in range(6):
        await service.sync()
        await trio.sleep(0.3)
    await Crowd(service).requests("a", "b", "gone")
    await trio.sleep(10)
    assert service.ready
    assert homes(service) == {"a": "first", "b": "first"}
    await service.shutdown()
    assert store.manifest_keys == {"a", "b"}
