"""From nothing to ready, whatever state the buckets, their manifests and S3 are in."""

from __future__ import annotations

import gc

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import UpstreamError
from parparchik.model import Bucket
from parparchik.registry import Service
from parparchik.registry.entries import pack
from tests.fakes import NOW_S, FakeBucket, denied, unavailable
from tests.registry.services import FIRST, SECOND, ask, service_on, where


def homes(service: Service) -> dict[str, str]:
    return {e.key: e.bucket.name for batch in service.registry.sorted_batches() for e in batch}


async def test_manifests_are_read_side_by_side(autojump_clock: MockClock) -> None:
    stores = [FakeBucket(Bucket(f"b{n}"), f"k{n}") for n in range(5)]
    for n, store in enumerate(stores):
        store.add_manifest(f"k{n}")
        store.delay_s = 1.0
    service = service_on(*stores)
    begun = trio.current_time()
    await service.start_up()
    assert trio.current_time() - begun == pytest.approx(2.0)  # the manifests, the HEADs
    assert service.ready
    assert homes(service) == {f"k{n}": f"b{n}" for n in range(5)}


async def test_manifests_that_are_true_are_not_written(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST, *"abc"), FakeBucket(SECOND, *"de")
    first.add_manifest(*"abc")
    second.add_manifest(*"de")
    service = service_on(first, second)
    await service.start_up()
    await service.shutdown()
    # Only S3's own sizes are news: the foreign manifest said 0 for all, and so does S3.
    assert not first.requests["put"]
    assert not second.requests["put"]
    assert not first.requests["list"]


async def test_a_missing_manifest_is_backfilled_from_all_buckets(
    autojump_clock: MockClock,
) -> None:
    first, second = FakeBucket(FIRST, "a", "both"), FakeBucket(SECOND, "both", "c", page_size=1)
    second.add_manifest("both", "gone")
    service = service_on(first, second)
    await service.start_up()
    assert homes(service) == {"a": "first", "both": "first", "c": "second"}
    assert service.statistics().registry.duplicates == 1
    assert (first.manifest_keys, second.manifest_keys) == ({"a", "both"}, {"c"})


async def test_no_files_at_all_make_empty_manifests(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND)
    service = service_on(first, second)
    await service.start_up()
    assert service.ready
    assert (first.manifest_keys, second.manifest_keys) == (set(), set())
    assert first.manifest == {"version": 1, "bucket": "first", "files": []}


async def test_both_manifests_claim_a_file(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND, "k")
    first.add_manifest("k")
    second.add_manifest("k")
    service = service_on(first, second)
    await service.start_up()
    assert homes(service) == {"k": "first"}
    assert service.statistics().registry.duplicates == 1
    assert (first.manifest_keys, second.manifest_keys) == ({"k"}, set())


async def test_a_manifest_of_garbage_is_kept_aside_and_the_bucket_listed(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST, "a", "b")
    store.add(FIRST.manifest_key, b"garbage")
    service = service_on(store)
    await service.start_up()
    assert service.ready
    assert store.manifest_keys == {"a", "b"}
    aside = [key for key in store.objects if "unreadable" in key]
    assert [store.objects[key].data for key in aside] == [b"garbage"]
    assert FIRST.reserves(aside[0])


@pytest.mark.parametrize("operations", [("list",), ("put",), ("list", "put"), ("head",)])
@pytest.mark.parametrize("manifest", [None, b"garbage"])
async def test_permissions_that_lack_do_not_hinder_readiness(
    autojump_clock: MockClock, operations: tuple[str, ...], manifest: bytes | None
) -> None:
    store = FakeBucket(FIRST, "a")
    if manifest is not None:
        store.add(FIRST.manifest_key, manifest)
    store.fail(denied, *operations)
    service = service_on(store)
    with trio.fail_after(3600):
        await service.start_up()
    assert service.ready
    if "head" not in operations:
        assert await where(service, "a") == "first"


@pytest.mark.parametrize("manifest", [None, b"garbage"])
async def test_a_bucket_that_could_not_be_listed_is_given_no_empty_manifest(
    autojump_clock: MockClock, nursery: trio.Nursery, manifest: bytes | None
) -> None:
    store = FakeBucket(FIRST, "a", "b")
    if manifest is not None:
        store.add(FIRST.manifest_key, manifest)
    store.fail(denied, "list")
    service = service_on(store)
    await service.start_up()
    nursery.start_soon(service.write_manifests)
    await trio.sleep(60)
    found = store.objects.get(FIRST.manifest_key)
    assert (found and found.data) == manifest
    # Once the operator has granted s3:ListBucket, a restart finds everything.
    store.mend()
    again = service_on(store)
    await again.start_up()
    assert store.manifest_keys == {"a", "b"}


async def test_what_was_found_without_listing_is_written(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "a", "b")
    store.fail(denied, "list")
    service = service_on(store)
    await service.start_up()
    nursery.start_soon(service.write_manifests)
    await ask(service, "a")
    await trio.sleep(2)
    assert store.manifest_keys == {"a"}


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize("hanging", [True, False])
async def test_s3_that_is_not_there_yet_is_waited_for(
    autojump_clock: MockClock, nursery: trio.Nursery, hanging: bool, has_manifest: bool
) -> None:
    store = FakeBucket(FIRST, "a", "b")
    if has_manifest:
        store.add_manifest("a", "gone")
    store.hanging = hanging
    store.fail(unavailable)
    service = service_on(store)
    nursery.start_soon(service.start_up)
    await trio.sleep(7200)
    assert not service.ready
    assert store.requests["get"] < 1500
    assert "S3" in dict(service.statistics().errors)["first"]
    assert gc.isenabled()
    with pytest.raises(UpstreamError):
        await ask(service, "a")
    store.mend()
    await trio.sleep(60)
    assert service.ready
    assert store.manifest_keys == ({"a"} if has_manifest else {"a", "b"})
    assert service.statistics().errors == (("first", ""),)


async def test_known_routes_are_served_while_another_bucket_is_awaited(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST, "a"), FakeBucket(SECOND, "b")
    first.add_manifest("a")
    second.add_manifest("b")
    second.fail()
    service = service_on(first, second)
    nursery.start_soon(service.start_up)
    await trio.sleep(60)
    assert not service.ready
    answer = await ask(service, "a")
    assert answer.entry is not None
    assert answer.fresh is True
    second.mend()
    await trio.sleep(60)
    assert service.ready
    assert await where(service, "b") == "second"


async def test_known_routes_are_verified_one_by_one_while_reconciliation_runs(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    keys = [f"k{n:03}" for n in range(400)]
    store = FakeBucket(FIRST, *keys)
    store.add_manifest(*keys)
    store.fail(denied, "list")
    store.delay_s = 10.0
    service = service_on(store, max_probes=4)
    nursery.start_soon(service.start_up)
    await trio.sleep(100)
    assert not service.ready
    begun = trio.current_time()
    assert (await ask(service, "k399")).fresh is True
    assert trio.current_time() - begun == pytest.approx(10.0)  # not behind 300 others
    assert service.progress.phase == "verifying entries"
    assert 0 < service.progress.done < service.progress.total == 400


async def test_an_outage_during_reconciliation_drops_nothing_and_writes_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    keys = [f"k{n:03}" for n in range(200)]
    store = FakeBucket(FIRST, *keys)
    store.add_manifest(*keys, "k999")
    store.fail(denied, "list")
    service = service_on(store)

    def break_down(operation: str, key: str) -> None:
        if key == "k100":
            store.fail()

    store.on_request = break_down
    nursery.start_soon(service.start_up)
    nursery.start_soon(service.write_manifests)
    await trio.sleep(600)
    assert not service.ready
    assert set(keys) <= set(homes(service))
    assert store.manifest_keys == {*keys, "k999"}
    store.on_request = None
    store.mend()
    await trio.sleep(60)
    assert service.ready
    assert store.manifest_keys == set(keys)


@pytest.mark.parametrize("bad", [1, 5, 70])
async def test_single_bad_keys_do_not_hinder_readiness(autojump_clock: MockClock, bad: int) -> None:
    keys = [f"k{n:03}" for n in range(100)]
    store = FakeBucket(FIRST, *keys)
    store.add_manifest(*keys)
    store.fail(denied, "list")
    store.failing_keys = dict.fromkeys(keys[:bad], unavailable)
    service = service_on(store)
    with trio.fail_after(600):
        await service.start_up()
    assert set(homes(service)) == set(keys)


async def test_a_start_up_that_crashed_begins_again(autojump_clock: MockClock) -> None:
    first, second = FakeBucket(FIRST, "a", "b"), FakeBucket(SECOND, "c")
    first.add_manifest("a")
    service = service_on(first, second)

    def crash(operation: str, key: str) -> None:
        if operation == "head":
            raise RuntimeError("a defect")

    first.on_request = crash
    with pytest.raises(ExceptionGroup):
        await service.start_up()
    assert not service.ready
    first.on_request = None
    await service.start_up()
    assert homes(service) == {"a": "first", "b": "first", "c": "second"}
    assert (first.manifest_keys, second.manifest_keys) == ({"a", "b"}, {"c"})


async def test_task_status_and_phases(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store = FakeBucket(FIRST, "a")
    store.hanging = True
    service = service_on(store)
    await nursery.start(service.start_up)
    assert service.progress.phase == "reading manifests"
    for task in (service.renew, service.write_manifests):
        await nursery.start(task)
    store.mend()
    await trio.sleep(60)
    assert service.progress.phase == "ready"


async def test_changes_while_a_manifest_is_loaded_are_written(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    keys = [f"k{n}" for n in range(10_000)]
    writing = FakeBucket(FIRST, *keys)
    earlier = service_on(writing)
    await earlier.start_up()  # writes the manifest in our layout, which is loaded in pieces
    store = FakeBucket(FIRST, *keys, "new")
    store.objects[FIRST.manifest_key] = writing.objects[FIRST.manifest_key]
    service = service_on(store)
    gone: list[str] = []

    async def change_something() -> None:
        while not service.count:
            await trio.lowlevel.checkpoint()
        assert service.count < len(keys)
        gone.append(next(service.registry.slices())[0][0])
        del store.objects[gone[0]]
        service.registry.discard(gone[0])
        service.registry.put("new", pack(0, 0, NOW_S))

    nursery.start_soon(change_something)
    await service.start_up()
    assert store.manifest_keys == {*keys, "new"} - set(gone)
