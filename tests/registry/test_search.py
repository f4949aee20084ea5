"""Where a file is when it is not, or no longer, where the registry has it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parparchik.model import Bucket
from tests.fakes import FakeBucket
from tests.registry.services import FIRST, SECOND, Crowd, ask, register, service_on, where

THIRD = Bucket("third")


def three(**holds: str) -> tuple[FakeBucket, FakeBucket, FakeBucket]:
    """Buckets in priority order, each with the keys (separated by spaces) that it holds."""
    stores = FakeBucket(FIRST), FakeBucket(SECOND), FakeBucket(THIRD)
    for store in stores:
        for key in holds.get(store.bucket.name, "").split():
            store.add(key, store.bucket.name.encode())
    return stores


@pytest.mark.parametrize(
    ("holds", "found", "duplicates"),
    [
        ({"first": "k"}, "first", 0),
        ({"second": "k"}, "second", 0),
        ({"second": "k", "third": "k"}, "second", 1),
        ({"first": "k", "third": "k"}, "first", 1),
        ({}, None, 0),
    ],
)
async def test_an_unknown_key_is_found_in_the_bucket_of_highest_priority(
    autojump_clock: MockClock, holds: dict[str, str], found: str | None, duplicates: int
) -> None:
    stores = three(**holds)
    service = service_on(*stores)
    assert await where(service, "k") == found
    entry = service.registry.get("k")
    assert (entry.bucket.name if entry else None) == found
    assert service.statistics().registry.duplicates == duplicates
    assert [store.heads_of("k") for store in stores] == [1, 1, 1]


async def test_buckets_are_asked_side_by_side(autojump_clock: MockClock) -> None:
    stores = three(third="k")
    for store in stores:
        store.delay_s = 1.0
    service = service_on(*stores)
    begun = trio.current_time()
    assert await where(service, "k") == "third"
    assert trio.current_time() - begun == pytest.approx(1.0)


@pytest.mark.parametrize("new_home", ["first", "third"])
async def test_a_moved_file_is_found_again(autojump_clock: MockClock, new_home: str) -> None:
    stores = three(**{new_home: "k"})
    service = service_on(*stores)
    register(service, 1, "k")
    answer = await ask(service, "k")
    assert answer.entry is not None
    assert answer.entry.bucket.name == new_home
    assert answer.entry.size_bytes == len(new_home)
    assert answer.fresh is True
    assert stores[1].heads_of("k") == 1
    assert service.statistics().registry.files == tuple(
        (store.bucket.name, int(store.bucket.name == new_home)) for store in stores
    )


async def test_a_file_that_is_gone_everywhere_is_forgotten(autojump_clock: MockClock) -> None:
    stores = three()
    service = service_on(*stores)
    register(service, 1, "k")
    service.registry.set_duplicate("k", True)
    assert await where(service, "k") is None
    assert service.count == 0
    assert service.statistics().registry.duplicates == 0
    assert [store.heads_of("k") for store in stores] == [1, 1, 1]


async def test_an_unknown_key_is_remembered_for_a_while(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    service = service_on(store, negative_ttl_s=5.0)
    await ask(service, "k")
    store.add("k")
    await trio.sleep(4.9)
    assert await where(service, "k") is None
    assert store.requests == {"head": 1}
    await trio.sleep(0.2)
    assert await where(service, "k") == "first"


async def test_without_a_negative_ttl_nothing_is_remembered(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST)
    service = service_on(store, negative_ttl_s=0.0)
    await ask(service, "k")
    store.add("k")
    assert await where(service, "k") == "first"


async def test_what_update_finds_is_no_longer_remembered_as_unknown(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST)
    store.add_manifest()
    service = service_on(store)
    await service.start_up()
    await ask(service, "k")
    store.add("k")
    assert await service.update("k") is not None
    assert await where(service, "k") == "first"
    store.remove("k")
    await trio.sleep(3)
    assert await where(service, "k") is None


async def test_unknown_keys_remembered_are_bounded_and_the_latest_stay(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket(FIRST)
    service = service_on(store, negative_max=10, negative_ttl_s=60.0)
    for n in range(50):
        await ask(service, f"k{n}")
    known = [n for n in range(50) if service.resolve_nowait(f"k{n}") is not None]
    assert known == list(range(40, 50))


@pytest.mark.parametrize("negative_max", [0, 1])
async def test_hardly_any_memory_for_unknown_keys(
    autojump_clock: MockClock, negative_max: int
) -> None:
    service = service_on(FakeBucket(FIRST), negative_max=negative_max)
    assert [await where(service, key) for key in "aabb"] == [None] * 4


async def test_a_manifest_and_its_folder_are_searched_for_in_no_bucket_that_keeps_it_there(
    autojump_clock: MockClock,
) -> None:
    first = FakeBucket(Bucket("first", "state/files.json"), "state/x", ".parparchik/x")
    second = FakeBucket(Bucket("second"), "state/x", ".parparchik/x")
    service = service_on(first, second)
    assert await where(service, "state/x") == "second"
    assert await where(service, ".parparchik/x") == "first"
    assert (first.heads_of("state/x"), second.heads_of(".parparchik/x")) == (0, 0)


async def test_a_key_that_every_bucket_reserves_is_nowhere_and_nobody_is_asked(
    autojump_clock: MockClock,
) -> None:
    stores = three(first=".parparchik/files.json", second=".parparchik/x")
    service = service_on(*stores)
    assert await where(service, ".parparchik/files.json") is None
    assert await service.relocate(".parparchik/x") is None
    assert not any(store.requests["head"] for store in stores)


async def test_a_flood_of_unknown_keys_costs_bounded_heads_and_no_write(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = FakeBucket(FIRST, "known")
    store.add_manifest("known")
    service = service_on(store, max_probes=16, max_waiting=200, negative_max=1000)
    await service.start_up()
    nursery.start_soon(service.write_manifests)
    store.asked.clear()
    store.delay_s = 0.001
    crowd = Crowd(service)
    keys = iter(f"unknown/{n}" for n in range(100_000))

    async def client() -> None:
        for key in keys:
            await crowd.request(key)

    async with trio.open_nursery() as clients:
        for _ in range(300):
            clients.start_soon(client)
    await trio.sleep(10)
    assert store.most_in_flight <= 16
    assert set(store.requests) == {"head"}
    assert store.requests["head"] + len(crowd.errors) == 100_000
    assert crowd.errors  # those beyond `max_waiting` were told to come again
    assert all(answer.entry is None for answer in crowd.answers)
    assert service.count == 1
    verified, absent, under_way = service.resolver.remembered()
    assert verified <= 1
    assert absent <= 1000
    assert under_way == 0
    assert await where(service, "known") == "first"
