"""One change and all who must forget what was there before, whatever becomes of who asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.content import ObjectName
from parparchik.server.shared_cache import Outdated, SharedCache
from tests.cache.scenes import Scene, scene

NAME = ObjectName("bucket", "a")


class Slow:
    """`Others` who take a second. `told` has whom they have heard of to the end."""

    def __init__(self) -> None:
        self.told: list[Outdated] = []

    async def forget(self, outdated: Outdated, asker: SharedCache, *, settled: bool) -> int:
        await trio.sleep(1)
        self.told.append(outdated)
        return 7


@pytest.mark.parametrize("after_s", [0.0, 0.5])
async def test_who_leaves_in_the_midst_of_it_leaves_nobody_untold(
    autojump_clock: MockClock, after_s: float
) -> None:
    others = Slow()
    async with scene() as s:
        shared = SharedCache(s.cache, others)
        with trio.move_on_after(after_s):
            await shared.invalidate(NAME)
        with trio.move_on_after(after_s):
            await shared.invalidate_prefix("bucket", "a")
    assert others.told == [Outdated((NAME,)), Outdated(below=(("bucket", "a"),))]


async def told_at_once(s: Scene, change: Callable[[SharedCache], object]) -> list[Outdated]:
    shared, told = SharedCache(s.cache, Slow()), list[Outdated]()
    shared.tell(told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change, shared)  # type: ignore[arg-type]
        await wait_all_tasks_blocked()
        before = list(told)
    assert told == before
    return told


async def test_who_else_knows_of_objects_is_told_before_the_others(
    autojump_clock: MockClock,
) -> None:
    async with scene() as s:
        assert await told_at_once(s, lambda shared: shared.invalidate(NAME)) == [Outdated((NAME,))]
        outdated = Outdated(below=(("bucket", ""),))
        assert await told_at_once(s, lambda shared: shared.forget(outdated)) == [outdated]
