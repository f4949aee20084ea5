"""When manifests are written: seldom, and never for nothing; and what becomes of a failure."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.registry import PersistFailed, Registry, Service
from parparchik.registry.entries import pack
from parparchik.registry.writer import ManifestWriter
from tests.fakes import FakeBucket, denied
from tests.registry.services import FIRST, SECOND, ask, register, service_on


async def started(*stores: FakeBucket, **settings: object) -> Service:
    service = service_on(*stores, **settings)
    await service.start_up()
    for store in stores:
        store.asked.clear()
    return service


def writes(service: Service, bucket: str, outcome: str = "written") -> int:
    counts = {(b, o): count for b, o, count in service.statistics().manifest_writes}
    return counts[bucket, outcome]


async def test_many_changes_are_one_write_a_window(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store, manifest_window_s=1.0)
    nursery.start_soon(service.write_manifests)
    for n in range(100):
        store.add(f"k{n}")
        await ask(service, f"k{n}")
        await trio.sleep(0.05)
    await trio.sleep(1.1)
    assert 5 <= store.requests["put"] <= 7
    assert store.manifest_keys == {f"k{n}" for n in range(100)}


async def test_nothing_changed_nothing_written(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store)
    nursery.start_soon(service.write_manifests)
    for _ in range(20):
        await ask(service, "k")
        await ask(service, "unknown")
        await service.update("k")
        await service.sync()
        await trio.sleep(3)
    assert not store.requests["put"]


async def test_a_change_that_was_undone_is_not_written(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "k")
    service = await started(store)
    nursery.start_soon(service.write_manifests)
    store.add("new")
    await ask(service, "new")
    store.remove("new")
    await service.resolver.verify("new")
    await trio.sleep(5)
    assert not store.requests["put"]


async def test_only_the_bucket_that_changed_is_written(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST), FakeBucket(SECOND)
    service = await started(first, second)
    nursery.start_soon(service.write_manifests)
    second.add("k")
    await ask(service, "k")
    await trio.sleep(2)
    assert (writes(service, "first"), writes(service, "second")) == (1, 2)  # one each at start-up
    assert not first.requests["put"]


async def test_a_moved_file_leaves_one_manifest_and_enters_the_other(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeBucket(FIRST, "k"), FakeBucket(SECOND)
    service = await started(first, second)
    first.remove("k")
    second.add("k")
    entry = await service.update("k")
    assert entry is not None
    assert (first.manifest_keys, second.manifest_keys) == (set(), {"k"})


async def test_no_write_before_the_manifest_was_read(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "old", "new")
    store.add_manifest("old")
    store.fail(denied, "get")
    service = service_on(store)
    nursery.start_soon(service.start_up)
    nursery.start_soon(service.write_manifests)
    await ask(service, "new")
    await trio.sleep(60)
    with pytest.raises(PersistFailed, match="has not been read yet: first"):
        await service.update("new")
    assert not store.requests["put"]
    assert store.manifest_keys == {"old"}
    store.mend()
    await trio.sleep(60)
    assert store.manifest_keys == {"old", "new"}


async def test_a_failing_write_is_tried_again_less_and_less_often(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store, manifest_window_s=1.0)
    nursery.start_soon(service.write_manifests)
    store.add("k")
    await ask(service, "k")
    store.fail(denied, "put")
    await trio.sleep(600)
    assert 8 <= store.requests["put"] <= 20
    assert service.statistics().errors == (("first", "S3 says 403"),)
    assert writes(service, "first", "failed") == store.requests["put"]
    store.mend()
    await trio.sleep(61)
    assert store.manifest_keys == {"k"}
    assert service.statistics().errors == (("first", ""),)


async def test_update_and_relocate_answer_after_the_manifest_has_it(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store)
    store.delay_s = 1.0
    for key in ("a", "b"):
        store.add(key)
    assert await service.update("a") is not None
    assert store.manifest_keys == {"a"}
    assert await service.relocate("b") is not None
    assert store.manifest_keys == {"a", "b"}
    store.remove("a")
    assert await service.relocate("a") is None
    assert store.manifest_keys == {"b"}


async def test_updates_at_the_same_time_share_writes(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    service = await started(store)
    store.delay_s = 1.0
    keys = [f"k{n}" for n in range(50)]
    for key in keys:
        store.add(key)
    async with trio.open_nursery() as clients:
        for key in keys:
            clients.start_soon(service.update, key)
    assert store.manifest_keys == set(keys)
    assert store.requests["put"] <= 3


async def test_updates_one_after_the_other_are_one_write_a_window(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store, manifest_window_s=1.0)
    nursery.start_soon(service.write_manifests)
    began = trio.current_time()
    for n in range(10):
        store.add(f"k{n}")
        await service.update(f"k{n}")
        assert f"k{n}" in store.manifest_keys
    assert store.requests["put"] <= trio.current_time() - began + 2


async def test_at_shutdown_the_last_change_is_written(autojump_clock: MockClock) -> None:
    stores = FakeBucket(FIRST), FakeBucket(SECOND)
    service = await started(*stores)
    stores[0].add("k")
    stores[1].add("l")
    await ask(service, "k")
    await ask(service, "l")
    await service.shutdown()
    assert [store.manifest_keys for store in stores] == [{"k"}, {"l"}]
    await service.shutdown()
    assert [writes(service, name) for name in ("first", "second")] == [2, 2]


async def test_at_shutdown_a_bucket_that_fails_is_named_and_the_others_are_written(
    autojump_clock: MockClock,
) -> None:
    stores = FakeBucket(FIRST), FakeBucket(SECOND)
    service = await started(*stores)
    stores[0].add("k")
    stores[1].add("l")
    await ask(service, "k")
    await ask(service, "l")
    stores[0].hanging = True
    with pytest.raises(PersistFailed, match="first: S3 does not answer"):
        await service.shutdown()
    assert stores[1].manifest_keys == {"l"}


async def test_a_write_is_cut_into_slices_that_let_others_run(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    registry = Registry([FIRST])
    writer = ManifestWriter(registry, [store], 1.0)
    writer.files[0].adopt(None)
    registry.load(0, [(f"k{n}", pack(0, n, 1)) for n in range(20_000)])
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(somebody_else)
        await writer.flush()
        nursery.cancel_scope.cancel()
    assert turns >= 200
    assert len(store.manifest_keys) == 20_000


async def test_a_write_that_is_cancelled_is_made_up_for(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "a", "b")
    service = await started(store)
    store.add("c")
    await service.update("c")
    store.remove("a")
    store.delay_s = 1.0
    with trio.move_on_after(1.5) as impatient:  # S3 has taken the PUT and not answered yet
        await service.relocate("a")
    assert impatient.cancelled_caught
    store.delay_s = 0.0
    store.add("d")
    await service.update("d")
    assert store.manifest_keys == {"b", "c", "d"}
    assert service.registry.get("a") is None


async def test_a_window_of_nothing_does_not_spin(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store, manifest_window_s=0.0)
    store.fail(denied, "put")
    nursery.start_soon(service.write_manifests)
    store.add("k")
    await ask(service, "k")
    await trio.sleep(10)
    assert store.requests["put"] <= 20
    store.mend()
    await trio.sleep(20)
    await wait_all_tasks_blocked()
    assert store.manifest_keys == {"k"}


async def test_what_was_removed_is_not_remembered_for_ever(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST)
    service = await started(store)
    nursery.start_soon(service.write_manifests)
    for n in range(20):  # each comes and goes between two writes
        register(service, 0, f"k{n}")
        service.resolver.forget(f"k{n}")
    await trio.sleep(3)
    assert not any(service.registry.was_removed(f"k{n}", 0) for n in range(20))
