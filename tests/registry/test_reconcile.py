"""One pass over all entries: what S3 says is done, what S3 does not say is left alone."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from parparchik.model import Bucket
from parparchik.registry import Service
from parparchik.registry.entries import pack, size_and_time
from parparchik.registry.reconcile import Reconciliation, reconcile
from tests.fakes import NOW_S, FakeBucket, denied, unavailable
from tests.registry.services import FIRST, SECOND, ask, register, service_on

THIRD = Bucket("third")
BUCKETS = (FIRST, SECOND, THIRD)


async def reconciled(service: Service) -> Reconciliation:
    parts = service.registry, service.resolver, service.prober, service.progress
    return await reconcile(*parts, max_in_flight=8)


def homes(service: Service) -> dict[str, str]:
    return {e.key: e.bucket.name for batch in service.registry.sorted_batches() for e in batch}


async def test_what_is_gone_goes_and_what_has_moved_moves(autojump_clock: MockClock) -> None:
    first = FakeBucket(FIRST, "stays", "both", "moved up")
    second = FakeBucket(SECOND, "both", "moved down", "kept")
    service = service_on(first, second)
    register(service, 0, "stays", "moved down", "gone")
    register(service, 1, "both", "moved up", "gone too", "kept")
    done = await reconciled(service)
    assert homes(service) == {
        "stays": "first",
        "both": "first",
        "moved up": "first",
        "moved down": "second",
        "kept": "second",
    }
    assert service.statistics().registry.duplicates == 1
    assert (done.entries, done.dropped, done.moved, done.unknown) == (7, 2, 3, 0)
    assert done.heads == first.requests["head"] + second.requests["head"]


async def test_sizes_and_times_become_what_s3_says(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    store.add("k", b"12345", last_modified_s=1_700_000_000)
    service = service_on(store)
    register(service, 0, "k")
    await reconciled(service)
    packed = service.registry.packed("k")
    assert packed is not None
    assert size_and_time(packed) == (5, 1_700_000_000)


Said = st.sampled_from(["has it", "has it not", "cannot tell"])


@given(st.integers(0, 2), st.tuples(Said, Said, Said), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_every_answer_in_every_bucket(own: int, said: tuple[str, str, str], others: int) -> None:
    """`others` decides whether the buckets are listed or asked key by key."""
    stores = [FakeBucket(bucket, *(f"other{n}" for n in range(others))) for bucket in BUCKETS]
    for store, answer in zip(stores, said, strict=True):
        if answer == "has it":
            store.add("k", b"x" * 9)
        if answer == "cannot tell":
            store.fail(denied, "list")
            store.failing_keys["k"] = denied
    service = service_on(*stores)
    register(service, 0, *(f"other{n}" for n in range(others)))
    register(service, own, "k")

    async def main() -> Reconciliation:
        return await reconciled(service)

    done = trio.run(main, clock=MockClock(autojump_threshold=0))
    has_it = [n for n, answer in enumerate(said) if answer == "has it"]
    if said[own] == "cannot tell":
        has_it = [n for n in has_it if n < own]
    where = homes(service).pop("k", None)
    if has_it:
        assert where == BUCKETS[has_it[0]].name
    elif "cannot tell" in said:
        assert where == BUCKETS[own].name
        assert service.registry.packed("k") == pack(own, 0, NOW_S)
    else:
        assert where is None
    assert done.dropped == (where is None)
    assert service.count == others + (where is not None)


@pytest.mark.parametrize("listing", [True, False])
@pytest.mark.parametrize("kind", ["unavailable", "hanging", "denied"])
async def test_an_outage_in_the_middle_drops_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery, kind: str, listing: bool
) -> None:
    keys = [f"k{n:04}" for n in range(300)]
    store = FakeBucket(FIRST, *keys, page_size=50)
    if not listing:
        store.fail(denied, "list")
    service = service_on(store)
    register(service, 0, *keys, "z gone")
    heal = trio.Event()

    def break_down(operation: str, key: str) -> None:
        if len(store.asked) == 4:
            store.hanging = kind == "hanging"
            store.fail(unavailable if kind == "unavailable" else denied)
            heal.set()

    async def mend() -> None:
        await heal.wait()
        await trio.sleep(600)
        store.mend()

    store.on_request = break_down
    nursery.start_soon(mend)
    done = await reconciled(service)
    assert set(keys) <= set(homes(service))
    if kind == "denied":  # that is an answer, if none that says anything
        assert done.unknown > 100
        assert done.dropped == 0
    else:
        assert (done.unknown, done.dropped) == (0, 1)


async def test_one_bucket_down_all_the_time_keeps_its_entries(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST, "a"), FakeBucket(SECOND)
    service = service_on(first, second)
    register(service, 0, "a", "gone from first")
    register(service, 1, "b")
    second.fail(denied)
    done = await reconciled(service)
    assert homes(service) == {"a": "first", "b": "second", "gone from first": "first"}
    assert (done.unknown, done.dropped) == (2, 0)


async def test_what_changes_during_the_pass_is_newer_than_the_pass(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST, "uploaded again", "moves"), FakeBucket(SECOND)
    service = service_on(first, second)
    register(service, 0, "uploaded again", "moves", "found gone", "z")
    first.delay_s = second.delay_s = 5.0
    nursery.start_soon(change, service, first, second)
    await reconciled(service)
    assert homes(service) == {"uploaded again": "first", "moves": "second", "new": "first"}
    entry = service.registry.get("uploaded again")
    assert entry is not None
    assert entry.size_bytes == 3
    assert service.resolve_nowait("found gone") is not None


async def change(service: Service, first: FakeBucket, second: FakeBucket) -> None:
    """After S3 has answered the pass, and before that has heard it."""
    await trio.sleep(1)
    first.delay_s = second.delay_s = 0.0
    first.add("new")
    first.add("uploaded again", b"new")
    first.remove("moves")
    second.add("moves")
    for key in ("new", "uploaded again", "moves", "found gone"):
        await ask(service, key)


async def test_what_is_verified_during_the_pass_with_the_same_answer_is_kept(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = service_on(store)
    register(service, 0, "k")
    store.delay_s = 5.0

    async def upload() -> None:
        await trio.sleep(1)
        store.delay_s = 0.0
        store.add("k", last_modified_s=NOW_S)
        await ask(service, "k")

    nursery.start_soon(upload)
    done = await reconciled(service)
    assert homes(service) == {"k": "first"}
    assert done.dropped == 0


async def test_what_a_merge_brings_during_the_pass_is_newer_than_the_pass(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND)
    service = service_on(first, second)
    register(service, 1, "k")
    first.delay_s = second.delay_s = 5.0

    async def merge() -> None:
        await trio.sleep(1)
        register(service, 0, "k")  # another process has found it there

    nursery.start_soon(merge)
    await reconciled(service)
    assert homes(service) == {"k": "first"}


async def test_nothing_to_reconcile(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "unknown to us")
    done = await reconciled(service_on(store))
    assert done == Reconciliation(0, 0, 0, 0, 0, 0)
    assert not store.asked


async def test_buckets_are_surveyed_side_by_side(autojump_clock: MockClock) -> None:
    stores = [FakeBucket(bucket, "k") for bucket in BUCKETS]
    for store in stores:
        store.delay_s = 1.0
    service = service_on(*stores)
    register(service, 0, "k")
    begun = trio.current_time()
    await reconciled(service)
    assert trio.current_time() - begun == pytest.approx(1.0)


async def test_progress_ends_where_it_said(autojump_clock: MockClock) -> None:
    stores = [FakeBucket(bucket, *(f"k{n}" for n in range(100))) for bucket in BUCKETS]
    stores[0].fail(denied, "list")
    stores[0].failing_keys["k7"] = unavailable
    stores[1].scrambled = True
    service = service_on(*stores)
    register(service, 0, *(f"k{n}" for n in range(100)), "gone")
    await reconciled(service)
    assert (service.progress.done, service.progress.total) == (303, 303)
