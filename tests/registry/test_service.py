"""What the management API and the metrics are told."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parparchik.model import Bucket
from parparchik.registry import Registry, RegistryStatistics, Relocation, Service
from parparchik.registry.entries import pack
from parparchik.registry.recency import MONTH_S, WEEK_S
from tests.fakes import NOW_S, FakeBucket
from tests.registry.services import FIRST, SECOND, ask, register, service_on, where

THIRD = Bucket("third")


async def started(*holds: str) -> tuple[Service, list[FakeBucket]]:
    """A service on three buckets that hold these keys (separated by spaces)."""
    stores = [
        FakeBucket(bucket, *keys.split())
        for bucket, keys in zip((FIRST, SECOND, THIRD), holds, strict=True)
    ]
    service = service_on(*stores)
    await service.start_up()
    return service, stores


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # (bucket that the registry has, buckets that hold it) -> (from, to, duplicate)
        ("first", "first", (None, None, False)),
        ("second", "second", (None, None, False)),
        ("second", "first second", ("second", "first", True)),
        ("second", "first", ("second", "first", False)),
        ("second", "third", ("second", "third", False)),
        ("second", "second third", (None, None, True)),
        ("", "second", (None, None, False)),
        ("", "second third", (None, None, True)),
        ("first", "first second third", (None, None, True)),
    ],
)
async def test_relocate_gives_a_file_to_the_bucket_of_highest_priority(
    autojump_clock: MockClock,
    before: str,
    now: str,
    expected: tuple[str | None, str | None, bool],
) -> None:
    service, stores = await started(*("k" if name == before else "" for name in NAMES))
    for store in stores:
        store.objects.pop("k", None)
        if store.bucket.name in now.split():
            store.add("k", b"x" * 9)
    moved = await service.relocate("k")
    assert isinstance(moved, Relocation)
    assert (moved.relocated_from, moved.relocated_to, moved.duplicate) == expected
    home, *others = now.split()
    assert moved.entry == service.registry.get("k")
    assert (moved.entry.bucket.name, moved.entry.size_bytes) == (home, 9)
    assert (moved.note is not None) == moved.duplicate
    for name in others:
        assert moved.note is not None
        assert name in moved.note
    assert service.statistics().registry.duplicates == moved.duplicate
    for store in stores:
        assert ("k" in store.manifest_keys) == (store.bucket.name == home)


NAMES = ("first", "second", "third")


async def test_relocate_forgets_what_no_bucket_has(autojump_clock: MockClock) -> None:
    service, stores = await started("", "k", "")
    stores[1].remove("k")
    assert await service.relocate("k") is None
    assert service.count == 0
    assert stores[1].manifest_keys == set()
    assert await where(service, "k") is None


async def test_relocate_and_update_ask_s3_whatever_memory_says(autojump_clock: MockClock) -> None:
    service, stores = await started("k", "", "")
    await ask(service, "k")
    heads = [store.heads_of("k") for store in stores]
    await service.relocate("k")
    assert [store.heads_of("k") for store in stores] == [count + 1 for count in heads]
    await service.update("k")
    assert [store.heads_of("k") for store in stores] == [heads[0] + 2, heads[1] + 1, heads[2] + 1]


@pytest.mark.parametrize("new_home", [0, 2])
async def test_update_verifies_or_searches(autojump_clock: MockClock, new_home: int) -> None:
    service, stores = await started("", "k", "")
    stores[1].remove("k")
    stores[new_home].add("k")
    entry = await service.update("k")
    assert entry is not None
    assert entry.bucket is stores[new_home].bucket
    assert stores[new_home].manifest_keys == {"k"}
    stores[new_home].remove("k")
    assert await service.update("k") is None
    assert stores[new_home].manifest_keys == set()


async def test_statistics_of_buckets_and_writes(autojump_clock: MockClock) -> None:
    service, stores = await started("a b", "b c", "")
    statistics = service.statistics()
    assert statistics.ready
    assert statistics.registry.files == (("first", 2), ("second", 1), ("third", 0))
    assert statistics.registry.duplicates == 1
    assert statistics.reachable == (("first", True), ("second", True), ("third", True))
    assert statistics.errors == (("first", ""), ("second", ""), ("third", ""))
    assert {row for row in statistics.manifest_writes if row[2]} == {
        (store.bucket.name, "written", 1) for store in stores
    }


async def test_uploads_per_week_and_month_follow_the_clock(autojump_clock: MockClock) -> None:
    now_s = float(NOW_S)
    registry = Registry([FIRST], now_s)
    days = (0, 6.9, 7.1, 30.9, 31.1, 400)
    registry.load(0, [(f"{d}", pack(0, 1, int(NOW_S - d * 86_400))) for d in days])
    registry.put("from the future", pack(0, 1, NOW_S + 3600))

    def uploads(statistics: RegistryStatistics) -> tuple[int, int]:
        return statistics.week, statistics.month

    assert uploads(registry.statistics(now_s)) == (3, 5)
    assert uploads(registry.statistics(now_s + WEEK_S)) == (2, 4)
    assert uploads(registry.statistics(now_s + MONTH_S)) == (0, 2)
    registry.discard("0")
    registry.discard("from the future")
    assert uploads(registry.statistics(now_s + MONTH_S)) == (0, 0)
    registry.put("new", pack(0, 1, int(now_s + MONTH_S)))
    assert uploads(registry.statistics(now_s + MONTH_S)) == (1, 1)


async def test_nothing_is_asked_of_s3_before_anything_runs(autojump_clock: MockClock) -> None:
    store = FakeBucket(FIRST, "a")
    service = service_on(store)
    register(service, 0, "a")
    assert service.statistics().registry.files == (("first", 1),)
    assert not service.ready
    await trio.sleep(60)
    assert not store.asked
