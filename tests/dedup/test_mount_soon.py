"""PUT without a task: what a client gets, what is stored and what is counted are the same."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import pytest
import trio
import trio.testing

from parparchik.dedup import Bounds, PutLimits
from parparchik.dedup.put import Put
from parparchik.dedup.spool import SpoolLimits
from parparchik.dedup.statistics import StoreStatistics
from parparchik.errors import PathConflict, Unavailable, UpstreamError
from parparchik.model import Answer, Unfinished
from tests.dedup.bed import limits_of
from tests.dedup.mount_scene import KEY, MountScene, file, hinted, mounted
from tests.fakes_bytes import BytesAsked
from tests.objects.scene import Body

DATA = b"the same words again and again " * 500
PACKED = gzip.compress(DATA)
GZIP = {"Content-Encoding": "gzip"}
OTHER = hashlib.sha256(b"other").hexdigest()
SAFETY_S = 20.0
SMALL = Bounds(max_body_bytes=1000, max_logical_bytes=1000)

Ask = Callable[[MountScene], Awaitable[Answer]]


class Case(NamedTuple):
    """What is asked of a store that has b/c, of version 200; whether it begins without a task, and
    its status."""

    ask: Ask
    begins: bool
    status: int
    limits: PutLimits = PutLimits()
    api_keys: tuple[str, ...] = ()


def put(path: str = "a", data: bytes = DATA, version_s: int = 100, **fields: str) -> Ask:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return lambda scene: scene.put(path, data, version_s, given)


def act(method: str, target: str, key: str = "") -> Ask:
    return lambda scene: scene.act(method, target, DATA, key=key)


def announced_wrongly(scene: MountScene) -> Awaitable[Answer]:
    return scene.act("PUT", file("a"), Body(DATA, announce=False))


def metadata_away(scene: MountScene) -> Awaitable[Answer]:
    scene.metadata.broken = True
    return scene.put("a", DATA)


def s3_away(error: Callable[[], UpstreamError]) -> Ask:
    async def ask(scene: MountScene) -> Answer:
        scene.bucket.failing["store"] = error
        answer = await scene.put("a", DATA)
        del scene.bucket.failing["store"]
        return answer

    return ask


async def garbage_by_then(scene: MountScene) -> Answer:
    """What is stored is somebody's to delete before it is referred to."""

    async def at(point: str, asked: BytesAsked) -> None:
        if (point, asked.operation) == ("answering", "store"):
            scene.bucket.at = None
            scene.metadata.waste.add(asked.key)

    scene.bucket.at = at
    return await scene.put("a", DATA)


async def no_room(scene: MountScene) -> Answer:
    go_on = trio.Event()

    async def at(point: str, asked: BytesAsked) -> None:
        if (point, asked.operation) == ("arriving", "store"):
            await go_on.wait()

    scene.bucket.at = at
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.dedup.put, Put("d", 1, Body(b"kept waiting")))
        await trio.testing.wait_all_tasks_blocked()
        answer = await scene.put("a", DATA)
        assert scene.dedup.statistics().receiving == 1
        go_on.set()
    return answer


CASES = {
    "plain": Case(put(), True, 200),
    "empty": Case(put(data=b""), True, 200),
    "gzip": Case(lambda scene: scene.put("a", PACKED, fields=GZIP), True, 200),
    "hinted": Case(lambda scene: scene.put("a", PACKED, fields=hinted(DATA)), True, 200),
    "it is there": Case(put("d", b"first"), True, 200),
    "again": Case(put("b/c", b"first", 200), True, 200),
    "newer": Case(put("b/c", DATA, 201), True, 200),
    "older": Case(put("b/c", DATA, 199), True, 200),
    "a key": Case(act("PUT", file("a"), KEY), True, 200, api_keys=(KEY,)),
    "conflict below": Case(put("b"), True, 409),
    "conflict above": Case(put("b/c/d"), True, 409),
    "metadata away": Case(metadata_away, True, 503),
    "S3 away": Case(s3_away(lambda: Unavailable("S3 is away", retry_after_s=3)), True, 503),
    "S3 refuses": Case(s3_away(lambda: UpstreamError("S3 says 403")), True, 502),
    "garbage by then": Case(garbage_by_then, True, 200),
    "no key": Case(act("PUT", file("a")), False, 401, api_keys=(KEY,)),
    "another digest": Case(put(SHA256_Checksum=OTHER), False, 400),
    "no digest": Case(put(SHA256_Checksum="x"), False, 400),
    "another size": Case(put(Logical_Size="1"), False, 400),
    "not gzip": Case(put(Content_Encoding="gzip"), False, 400),
    "not known": Case(put(Content_Encoding="br"), False, 400),
    "cut gzip": Case(lambda scene: scene.put("a", PACKED[:-1], fields=GZIP), False, 400),
    "too large": Case(put(), False, 413, PutLimits(bounds=SMALL)),
    "a bomb": Case(
        lambda scene: scene.put("a", PACKED, fields=GZIP), False, 413, PutLimits(bounds=SMALL)
    ),
    "no date": Case(act("PUT", "files/a"), False, 400),
    "a bad date": Case(act("PUT", file("a", None, "yesterday")), False, 400),
    "no path": Case(act("PUT", file("")), False, 400),
    "a bad path": Case(act("PUT", file("a/../b")), False, 400),
    "a list": Case(act("PUT", file("a").replace("files", "list")), False, 405),
    "nowhere": Case(act("PUT", file("a").replace("files", "file")), False, 404),
    "DELETE": Case(act("DELETE", file("b/c", 200)), False, 200),
    "POST": Case(act("POST", file("a")), False, 405),
    "not announced": Case(announced_wrongly, False, 200),
    "not small": Case(put(), False, 200, limits_of(100)),
    "no memory": Case(
        put(data=b"x" * 500), False, 200, PutLimits(spool=SpoolLimits(memory_budget_bytes=10))
    ),
    "no room": Case(no_room, False, 503, PutLimits(max_bodies=1)),
}


class Seen(NamedTuple):
    """All that there is to see behind one of them."""

    answer: Answer
    received: list[int]
    statistics: StoreStatistics
    files: dict[str, tuple[int, str]]
    objects: list[bytes]
    waste: int
    claims: int


async def played(case: Case, *, is_soon: bool) -> tuple[Seen, int]:
    """And how many began without a task."""
    async with mounted(limits=case.limits, api_keys=case.api_keys) as scene:
        await scene.dedup.put(Put("b/c", 200, Body(b"first")))
        scene.is_soon = is_soon
        with trio.fail_after(SAFETY_S):
            answer = await case.ask(scene)
        begun = scene.begun
        seen = Seen(
            answer,
            scene.received,
            scene.dedup.statistics(),
            dict(scene.metadata.files),
            sorted(stored.data for stored in scene.bucket.objects.values()),
            len(scene.metadata.waste),
            len(scene.metadata.claims),
        )
        scene.metadata.broken = False
        with trio.fail_after(SAFETY_S):  # nobody is at these paths any more
            for path in ("a", "b", "b/c", "b/c/d"):
                with suppress(PathConflict):
                    await scene.dedup.put(Put(path, 300, Body(b"x")))
        return seen, begun


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_it_is_the_same(case: Case) -> None:
    expected, _ = await played(case, is_soon=False)
    seen, begun = await played(case, is_soon=True)
    assert seen == expected
    assert (seen.answer.status, begun) == (case.status, case.begins)
    now = seen.statistics
    assert (now.receiving, now.spooled_memory_bytes, now.spooled_disk_bytes) == (0, 0, 0)
    assert now.waiting_writers == seen.claims == 0


async def test_of_those_of_one_path_one_begins_and_the_newest_stays() -> None:
    async with mounted() as scene:
        scene.is_soon = True
        async with trio.open_nursery() as nursery:
            for version_s in (5, 8, 2, 7, 3):
                nursery.start_soon(scene.put, "a", b"%d" % version_s, version_s)
        assert scene.begun == 1
        assert await scene.data("a") == b"8"
        assert len(scene.received) == 5
        now = scene.dedup.statistics()
        assert (now.counters.puts, now.receiving, now.spooled_memory_bytes) == (5, 0, 0)
        assert await scene.put_soon("a", b"9", 9) is not None


async def test_those_of_many_paths_all_begin() -> None:
    async with mounted() as scene:
        scene.is_soon = True
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(scene.put, f"{number:02}", b"%d" % (number % 7))
        assert scene.begun == 20
        for number in range(20):
            assert await scene.data(f"{number:02}") == b"%d" % (number % 7)
        assert len(scene.bucket.objects) == 7


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_nobody_finishes_holds_nothing(*, cancelled: bool) -> None:
    """Neither the path nor room for others."""
    async with mounted(limits=PutLimits(max_bodies=1)) as scene:
        await scene.put("a/b", DATA)
        for _ in range(3):
            outcome = await scene.put_soon("a", DATA)
            assert isinstance(outcome, Unfinished)
            if cancelled:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await outcome.finish()
            now = scene.dedup.statistics()
            assert (now.receiving, now.spooled_memory_bytes) == (0, 0)
        await scene.delete("a/b")
        assert (await scene.put("a", DATA)).status == 200
        assert await scene.data("a") == DATA


async def test_what_s3_refused_and_nobody_finishes_is_stored_by_the_next() -> None:
    async with mounted(limits=PutLimits(max_bodies=1)) as scene:
        scene.bucket.failing["store"] = lambda: Unavailable("S3 is away")
        assert isinstance(await scene.put_soon("a", DATA), Unfinished)
        assert scene.dedup.statistics().receiving == 0
        del scene.bucket.failing["store"]
        assert isinstance(await scene.put_soon("a", DATA), Answer)
        assert await scene.data("a") == DATA
