"""Many in one process upload the same: it is stored once, and nobody waits for ever for another."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio
import trio.testing

from parparchik.dedup.put import PutLimits
from parparchik.errors import Unavailable, UpstreamError, UpstreamTimeout
from tests.dedup.bed import Bed, laid
from tests.fakes_bytes import BytesAsked

pytestmark = pytest.mark.usefixtures("each_way")

CONTENTS = [b"shared %d " % number * 400 for number in range(6)]
PATHS = [f"p/{number}" for number in range(20)]
DATA = CONTENTS[0]
WAIT_S = 60.0  # until S3 is given up


async def test_each_content_is_uploaded_once() -> None:
    async with laid() as bed:
        dice = random.Random(20)

        async def jitter(point: str, asked: BytesAsked) -> None:
            for _ in range(dice.randrange(20)):
                await trio.lowlevel.checkpoint()

        bed.bucket.at = jitter
        newest: dict[str, tuple[int, bytes]] = {}
        async with trio.open_nursery() as nursery:
            for number in range(64):
                path, data = dice.choice(PATHS), dice.choice(CONTENTS)
                newest[path] = max(newest.get(path, (0, b"")), (number, data))
                nursery.start_soon(partial(bed.put, path, data, number, gzip=dice.random() < 0.5))
        for path, (_, data) in newest.items():
            assert await bed.get(path) == data
        stored = [asked.key for asked in bed.bucket.asked if asked.operation == "store"]
        assert len(stored) == len(set(stored))


class Hanging:
    """S3 takes uploads of anything, and says nothing until it is given up."""

    def __init__(self, bed: Bed) -> None:
        self.hangs = True
        self.uploads = 0
        bed.bucket.at = self._at

    async def _at(self, point: str, asked: BytesAsked) -> None:
        if (point, asked.operation) == ("arriving", "store") and self.hangs:
            self.uploads += 1
            await trio.sleep(WAIT_S)
            raise UpstreamTimeout("S3 says nothing")


async def test_who_waits_for_one_who_fails_is_not_behind_all_others(
    autojump_clock: object,
) -> None:
    """100 of the same, and S3 hangs: each is told so within the time of a few attempts."""
    async with laid(limits=PutLimits(max_bodies=200)) as bed:
        Hanging(bed)
        failed = 0

        async def put(number: int) -> None:
            nonlocal failed
            with pytest.raises(UpstreamError):
                await bed.put(f"p/{number}", DATA)
            failed += 1

        with trio.move_on_after(5 * WAIT_S):
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(put, number)
        assert failed == 100
        assert bed.store.statistics().receiving == 0


# Where there is no task, the first one goes on in one, when those who wait have been told.
@pytest.mark.parametrize("each_way", ["in a task"], indirect=True)
async def test_when_it_works_again_it_does_for_all(autojump_clock: object) -> None:
    async with laid(limits=PutLimits(max_bodies=200)) as bed:
        hanging = Hanging(bed)
        done = 0

        async def put(number: int) -> None:
            nonlocal done
            try:
                await bed.put(f"p/{number}", DATA)
            except UpstreamError:
                hanging.hangs = False
            else:
                done += 1

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(put, number)
        assert done == 99
        assert hanging.uploads == 1
        assert bed.bucket.count("store") == 2, "one of those that waited stores it for all"


async def test_who_leaves_hands_on(autojump_clock: object) -> None:
    async with laid() as bed:
        hanging = Hanging(bed)
        async with trio.open_nursery() as others, trio.open_nursery() as leaving:
            leaving.start_soon(bed.put, "first", DATA)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(20):
                others.start_soon(bed.put, f"p/{number}", DATA)
                leaving.start_soon(bed.put, f"q/{number}", DATA)
            await trio.testing.wait_all_tasks_blocked()
            assert hanging.uploads == 1
            hanging.hangs = False
            leaving.cancel_scope.cancel()
        assert await bed.store.stat("first") is None
        for number in range(20):
            assert await bed.get(f"p/{number}") == DATA
            assert await bed.store.stat(f"q/{number}") is None
        assert bed.bucket.count("store") == 2


async def test_who_has_something_else_does_not_wait(autojump_clock: object) -> None:
    async with laid() as bed:
        hanging = Hanging(bed)
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bed.put, "a", DATA)
                await trio.testing.wait_all_tasks_blocked()
                hanging.hangs = False
                await bed.put("b", CONTENTS[1])
                nursery.cancel_scope.cancel()
        assert await bed.get("b") == CONTENTS[1]


async def test_a_path_is_free_again_when_who_waited_has_left(autojump_clock: object) -> None:
    async with laid() as bed:
        Hanging(bed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.put, "first", DATA)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(1) as scope:
                await bed.put("a", DATA)
            assert scope.cancelled_caught
            await bed.store.delete("a", 1)  # nobody writes to it any more
            nursery.cancel_scope.cancel()
        bed.bucket.at = None
        assert (await bed.put("a", DATA)).done


async def test_a_failure_of_one_is_none_of_another() -> None:
    async with laid() as bed:
        fails = 3

        async def at(point: str, asked: BytesAsked) -> None:
            nonlocal fails
            if (point, asked.operation) == ("answering", "store") and fails:
                fails -= 1
                raise Unavailable("500")

        bed.bucket.at = at
        outcomes: list[bool] = []

        async def put(number: int) -> None:
            try:
                outcomes.append((await bed.put(f"p/{number}", DATA)).done)
            except Unavailable:
                outcomes.append(False)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(put, number)
        assert sorted(outcomes) == [False] * 3 + [True] * 7
