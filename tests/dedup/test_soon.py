"""A PUT without a task, step by step: what it does after each outcome of the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing

from parparchik.dedup.keys import Keys
from parparchik.dedup.order import Operation
from parparchik.dedup.put import Put, PutLimits
from parparchik.dedup.receive import Expected
from parparchik.dedup.spool import SpoolLimits
from parparchik.dedup.types import Blob, Written
from parparchik.dedup.unclaimed import SIGHT_S
from parparchik.errors import BadDigest, BadTarget
from parparchik.model import Unfinished
from tests.dedup.bed import digest_of, laid
from tests.dedup.metadata_stores import opened_sqlite
from tests.dedup.soon_scene import HandBytes, HandMetadata, Slow, Steps, by_hand
from tests.dedup.test_unclaimed import collected
from tests.fakes_bytes import BytesAsked, FakeUpload

OLD = b"what was there " * 30
NEW = b"what comes " * 30


def never(_: object) -> None:
    raise AssertionError


async def test_it_looks_and_stores_and_refers() -> None:
    async with by_hand() as scene:
        told = scene.begin("a", NEW)
        held = scene.bed.store.statistics()
        assert (held.receiving, held.spooled_memory_bytes > 0) == (1, True)
        for name in ("look", "store", "put"):
            assert told.came == []
            assert await scene.bed.store.stat("a") is None
            await scene.steps.next(name).done()
        assert told.only == Written(5, done=True)
        assert scene.is_at_rest()
        assert await scene.bed.get("a") == NEW
        assert scene.bed.steps == [("put", "received"), ("put", "stored"), ("put", "referred")]
        counters = scene.bed.store.statistics().counters
        assert (counters.puts, counters.uploads, counters.skipped, counters.older) == (1, 1, 0, 0)
        assert counters.received_bytes == len(NEW)
        await collected(scene.bed, sweep=True)


async def test_what_s3_has_is_not_stored_again() -> None:
    async with by_hand() as scene:
        await scene.put("a", NEW)
        told = scene.begin("b", NEW, gzip=True)
        await scene.steps.next("look").done()
        await scene.steps.next("put").done()
        assert told.only == Written(5, done=True)
        counters = scene.bed.store.statistics().counters
        assert (counters.puts, counters.uploads, counters.skipped) == (2, 1, 1)
        assert scene.is_at_rest()
        await collected(scene.bed, sweep=True)


@pytest.mark.parametrize("data", [OLD, NEW], ids=["the same", "another"])
async def test_what_is_older_than_what_is_seen_does_nothing(data: bytes) -> None:
    async with by_hand() as scene:
        await scene.put("a", OLD, 9)
        told = scene.begin("a", data, 8)
        await scene.steps.next("look").done()
        assert told.only == Written(9, done=False)
        assert scene.is_at_rest()
        counters = scene.bed.store.statistics().counters
        assert (counters.puts, counters.uploads, counters.older) == (2, 1, 1)
        assert await scene.put("a", data, 9) == Written(9, done=True)


async def test_what_has_become_older_while_it_was_stored_is_garbage() -> None:
    async with by_hand() as scene:
        told = scene.begin("a", NEW, 8)
        await scene.steps.next("look").done()
        await scene.steps.next("store").done()
        blob = Blob(digest_of(OLD), scene.bed.key(OLD), len(OLD), 1)
        await scene.metadata.put("a", 9, blob, None, now_s=scene.bed.now())
        await scene.steps.next("put").done()
        assert told.only == Written(9, done=False)
        assert scene.metadata.waste == {scene.bed.key(NEW)}
        assert scene.bed.store.statistics().counters.older == 1
        assert scene.is_at_rest()


async def test_what_another_is_storing_is_waited_for_by_a_task() -> None:
    async with by_hand() as scene:
        first, second = scene.begin("a", NEW), scene.begin("b", NEW)
        await scene.steps.next("look").done()
        await scene.steps.next("look").done()
        assert isinstance(second.only, Unfinished)
        assert scene.bed.store.statistics().receiving == 1
        written: list[Written] = []

        async def finish() -> None:
            written.append(await second.finish())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish)
            await trio.testing.wait_all_tasks_blocked()
            await scene.steps.next("store").done()
            await trio.testing.wait_all_tasks_blocked()
            assert written == [], "nothing refers to it yet"
            await scene.steps.next("put").done()
        assert first.only == Written(5, done=True)
        assert written == [Written(5, done=True)]
        assert scene.bucket.count("store") == 1
        counters = scene.bed.store.statistics().counters
        assert (counters.puts, counters.skipped, counters.received_bytes) == (2, 1, 2 * len(NEW))
        assert scene.is_at_rest()
        assert await scene.bed.get("b") == NEW


async def test_what_a_task_goes_on_to_store_is_waited_for() -> None:
    async with by_hand() as scene:
        first = scene.begin("a", NEW)
        await scene.steps.next("look").done()
        scene.steps.next("store").fails(Slow())
        stored = trio.Event()

        async def wait(point: str, asked: BytesAsked) -> None:
            if (point, asked.operation) == ("answering", "store"):
                await stored.wait()

        scene.bucket.at = wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.finish)
            await trio.testing.wait_all_tasks_blocked()
            second = scene.begin("b", NEW)
            await scene.steps.next("look").done()
            nursery.start_soon(second.finish)
            await trio.testing.wait_all_tasks_blocked()
            stored.set()
        assert scene.bucket.count("store") == 1
        assert scene.is_at_rest()
        assert await scene.bed.get("a") == await scene.bed.get("b") == NEW


async def test_who_has_only_looked_is_waited_for_by_nobody() -> None:
    """Whoever has seen first stores: the other one need not have looked before."""
    async with by_hand() as scene:
        first, second = scene.begin("a", NEW), scene.begin("b", NEW)
        look = scene.steps.next("look")
        await scene.steps.next("look").done()
        await look.done()
        assert isinstance(first.only, Unfinished)
        await scene.steps.next("store").done()
        await scene.steps.next("put").done()
        assert second.only == Written(5, done=True)
        assert await first.finish() == Written(5, done=True)
        assert scene.bucket.count("store") == 1
        assert scene.is_at_rest()


async def test_one_path_is_written_by_one_at_a_time() -> None:
    async with by_hand() as scene:
        told = scene.begin("a", NEW, 5)
        put = Put("a", 6, FakeUpload(OLD, size_bytes=len(OLD)))
        assert not scene.bed.store.put_soon(put, OLD, never)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.bed.store.put, put)
            await trio.testing.wait_all_tasks_blocked()
            assert scene.bed.store.statistics().waiting_writers == 1
            for name in ("look", "store", "put"):
                await scene.steps.next(name).done()
        assert told.only == Written(5, done=True)
        assert await scene.bed.get("a") == OLD
        assert scene.is_at_rest()


@pytest.mark.parametrize("asleep", ["look", "store"])
async def test_who_slept_relies_on_nothing_it_saw(asleep: str) -> None:
    async with by_hand() as scene:
        if asleep == "look":
            await scene.put("b", NEW)
        told = scene.begin("a", NEW)
        if asleep == "store":
            await scene.steps.next("look").done()
        scene.bed.late_s += SIGHT_S + 1
        await scene.steps.next(asleep).done()
        assert scene.steps.waiting == [], "it does not refer to it"
        assert await told.finish() == Written(5, done=True)
        assert scene.is_at_rest()
        assert await scene.bed.get("a") == NEW
        await collected(scene.bed, sweep=True)


async def test_as_long_as_a_sight_is_relied_on_it_is() -> None:
    async with by_hand() as scene:
        told = scene.begin("a", NEW)
        await scene.steps.next("look").done()
        scene.bed.late_s += SIGHT_S - 1
        await scene.steps.next("store").done()
        await scene.steps.next("put").done()
        assert told.only == Written(5, done=True)


async def test_a_slow_s3_has_the_time_that_is_left_of_the_sight() -> None:
    async with by_hand() as scene:
        told = scene.begin("a", NEW)
        await scene.steps.next("look").done()
        scene.steps.next("store").fails(Slow())
        scene.bed.late_s += SIGHT_S + 1
        assert await told.finish() == Written(5, done=True)
        assert scene.bed.store.statistics().counters.claims_lost == 1
        assert scene.bucket.count("store") == 2
        await collected(scene.bed, sweep=True)


# -- what does not begin --------------------------------------------------------------------------


async def test_what_cannot_begin_holds_nothing() -> None:
    async with by_hand() as scene:
        scene.steps.refused = {"look"}
        put = Put("a", 5, FakeUpload(NEW, size_bytes=len(NEW)))
        assert not scene.bed.store.put_soon(put, NEW, never)
        assert scene.is_at_rest()
        assert scene.bed.steps == []
        assert scene.bed.store.statistics().counters.received_bytes == 0
        scene.steps.refused = set()
        assert await scene.put("a", NEW) == Written(5, done=True)


async def test_what_is_wrong_with_a_body_is_said_and_holds_nothing() -> None:
    async with by_hand() as scene:
        wrong = Expected(digest_of(OLD), len(NEW))
        put = Put("a", 5, FakeUpload(NEW, size_bytes=len(NEW)), expected=wrong)
        with pytest.raises(BadDigest):
            scene.bed.store.put_soon(put, NEW, never)
        assert scene.is_at_rest()
        assert await scene.put("a", NEW) == Written(5, done=True)


async def test_a_path_that_no_store_takes_holds_nothing(tmp_path: Path) -> None:
    async with opened_sqlite(tmp_path, Keys()) as metadata, laid(metadata) as bed:
        put = Put("a\0b", 5, FakeUpload(NEW, size_bytes=len(NEW)))
        for _ in range(2):  # the first keeps the second from nothing
            with pytest.raises(BadTarget):
                bed.store.put_soon(put, NEW, never)
        now = bed.store.statistics()
        assert (now.receiving, now.spooled_memory_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("limits", "imported"),
    [
        (PutLimits(max_bodies=0), False),
        (PutLimits(spool=SpoolLimits(memory_bytes=len(NEW) - 1)), False),
        (PutLimits(spool=SpoolLimits(memory_budget_bytes=10)), False),
        (PutLimits(), True),
    ],
    ids=["no room for bodies", "large", "no memory", "imported"],
)
async def test_what_is_for_a_task(limits: PutLimits, imported: bool) -> None:
    steps = Steps()
    async with laid(HandMetadata(steps), HandBytes(steps), limits) as bed:
        put = Put("a", 5, FakeUpload(NEW, size_bytes=len(NEW)), imported=imported)
        assert not bed.store.put_soon(put, NEW, never)
        assert steps.waiting == []
        now = bed.store.statistics()
        assert (now.receiving, now.spooled_memory_bytes, now.refused) == (0, 0, 0)
        assert bed.steps == []


# -- what is said of it ---------------------------------------------------------------------------


@pytest.mark.parametrize(("broken", "steps"), [("stored", 2), ("referred", 3)])
async def test_whoever_looks_on_and_fails_is_told_once(broken: str, steps: int) -> None:
    """Where a step is over and what follows it fails, a task does all of it again."""
    async with by_hand() as scene:

        def fail(operation: Operation, name: str) -> None:
            if name == broken:
                scene.bed.on_step = None
                raise ZeroDivisionError

        scene.bed.on_step = fail
        told = scene.begin("a", NEW)
        with structlog.testing.capture_logs() as logged:
            for _ in range(steps):
                await scene.steps.waiting.pop().done()
        assert [entry["log_level"] for entry in logged] == ["error"]
        assert await told.finish() == Written(5, done=True)
        assert scene.is_at_rest()
        await collected(scene.bed, sweep=True)
        assert await scene.bed.get("a") == NEW
