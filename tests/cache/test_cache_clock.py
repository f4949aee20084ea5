"""The wall clock is set back, or forward, while the cache runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from parparchik.cache import Absent, Found, ObjectCache, Policy
from parparchik.errors import Unavailable
from tests.cache.scenes import SMALL, body, wall_clock
from tests.fakes_bytes import FakeBytes

DAY_S = 86_400.0
POLICY = Policy(ttl_s=60, stale_while_revalidate_s=0, stale_if_error_s=60, negative_ttl_s=60)


@dataclass
class Clock:
    """`set_by_s` off the time that it was right with."""

    set_by_s: float = 0.0

    def __call__(self) -> float:
        return wall_clock() + self.set_by_s


@dataclass
class World:
    bucket: FakeBytes
    cache: ObjectCache
    clock: Clock

    async def get(self, key: str, policy: Policy = POLICY) -> bytes | None:
        name = self.bucket.object_name(key)
        found: Found | Absent | None = self.cache.find_nowait(name, policy)
        if found is None:
            found = await self.cache.find(name, policy, "whole")
        return None if isinstance(found, Absent) else await body(found)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    bucket, clock = FakeBytes(), Clock()
    cache = ObjectCache(SMALL, {bucket.name: bucket}, now=clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        yield World(bucket, cache, clock)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("set_by_s", [-DAY_S, DAY_S])
async def test_what_is_known_is_asked_about_again(
    autojump_clock: MockClock, world: World, set_by_s: float
) -> None:
    world.bucket.put("a", b"old")
    assert await world.get("a") == b"old"
    world.bucket.put("a", b"new")
    assert await world.get("a") == b"old"
    world.clock.set_by_s = set_by_s
    assert await world.get("a") == b"new"
    assert world.bucket.count("open", "a") == 2
    await trio.sleep(30)
    assert await world.get("a") == b"new"
    assert world.bucket.count("open", "a") == 2


@pytest.mark.parametrize("set_by_s", [-DAY_S, DAY_S])
async def test_what_is_gone_is_gone(
    autojump_clock: MockClock, world: World, set_by_s: float
) -> None:
    world.bucket.put("a", b"old")
    assert await world.get("a") == b"old"
    del world.bucket.objects["a"]
    world.clock.set_by_s = set_by_s
    assert await world.get("a") is None
    assert await world.get("a") is None
    assert world.bucket.count("open", "a") == 2


@pytest.mark.parametrize("set_by_s", [-DAY_S, DAY_S])
async def test_absence_is_not_for_ever(
    autojump_clock: MockClock, world: World, set_by_s: float
) -> None:
    assert await world.get("a") is None
    world.bucket.put("a", b"new")
    assert await world.get("a") is None
    world.clock.set_by_s = set_by_s
    assert await world.get("a") == b"new"


async def test_a_step_that_a_right_clock_makes_costs_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    world.bucket.put("a", b"old")
    await world.get("a")
    await world.get("b")
    world.clock.set_by_s = -0.5
    assert await world.get("a") == b"old"
    assert await world.get("b") is None
    assert len(world.bucket.asked) == 2


async def test_it_stands_in_for_an_s3_that_is_away(autojump_clock: MockClock, world: World) -> None:
    world.bucket.put("a", b"old")
    await world.get("a")
    world.bucket.failing["open"] = lambda: Unavailable("S3 is away")
    world.clock.set_by_s = -DAY_S
    assert await world.get("a") == b"old"


async def test_an_outage_is_over_when_it_is(autojump_clock: MockClock, world: World) -> None:
    """Also where S3 was asked in vain at a time that has not come yet."""
    policy = Policy(ttl_s=1, stale_while_revalidate_s=1000, stale_if_error_s=1000)
    world.bucket.put("a", b"old")
    await world.get("a", policy)
    await trio.sleep(10)
    world.bucket.failing["open"] = lambda: Unavailable("S3 is away")
    assert await world.get("a", policy) == b"old"
    await trio.testing.wait_all_tasks_blocked()
    world.bucket.failing.clear()
    world.bucket.put("a", b"new")
    world.clock.set_by_s = -DAY_S
    await world.get("a", policy)
    await trio.testing.wait_all_tasks_blocked()
    assert await world.get("a", policy) == b"new"
