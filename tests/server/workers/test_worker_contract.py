"""One registry, whoever speaks for it: in this process, or the parent at the end of a socket."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Denied, Unavailable
from parparchik.model import Bucket, Entry
from parparchik.registry import PersistFailed, Service
from parparchik.routes.respond import Lookup
from parparchik.web import Exposition, Files, Readiness, RegistryService
from tests.fakes import NOW_S, FakeBucket, denied, unavailable
from tests.server.workers.groups import Group, Spoken, until


@dataclass
class Side:
    """What a plane is given. `kept` is the registry itself."""

    first: FakeBucket
    second: FakeBucket
    kept: Service
    lookup: Lookup
    service: RegistryService
    files: Files
    readiness: Readiness
    exposition: Exposition
    spoken: Spoken

    async def where(self, key: str) -> str | None:
        known = self.lookup.resolve_nowait(key)
        resolution = await self.lookup.resolve(key) if known is None else known
        return resolution.entry.bucket.name if resolution.entry else None

    async def list_keys(self) -> list[str]:
        async with aclosing(self.files.sorted_batches()) as batches:
            return [entry.key async for batch in batches for entry in batch]


class Make:
    """Makes sides of one kind."""

    def __init__(self, kind: str, nursery: trio.Nursery) -> None:
        self._kind = kind
        self._nursery = nursery

    async def __call__(self, **settings: Any) -> Side:
        first = FakeBucket(Bucket("first", public=True))
        second = FakeBucket("second")
        group = Group(self._nursery, first, second, **settings)
        kept, spoken = group.service, group.spoken
        for task in (kept.renew, kept.write_manifests):
            self._nursery.start_soon(task)
        if self._kind == "local":
            await kept.start_up()
            return Side(first, second, kept, kept, kept, kept, spoken, spoken, spoken)
        worker = await group.worker()
        await kept.start_up()
        owner = worker.owner
        await until(lambda: owner.ready)
        return Side(first, second, kept, worker.lookup, owner, owner, owner, owner, spoken)


@pytest.fixture(params=["local", "remote"])
def make(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Make:
    return Make(request.param, nursery)


async def test_a_key_that_the_registry_has(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a", b"12345")
    assert await side.service.update("a") == Entry("a", side.first.bucket, 5, NOW_S)
    assert side.service.count == 1
    assert await side.where("a") == "first"


async def test_a_key_that_only_s3_has_is_found_and_kept(
    make: Make, autojump_clock: MockClock
) -> None:
    side = await make()
    side.second.add("ключ/ü", b"1")
    assert await side.where("ключ/ü") == "second"
    await until(lambda: side.kept.registry.get("ключ/ü"))
    await until(lambda: side.service.count == 1)
    await until(lambda: side.second.manifest is not None and side.second.manifest["files"])
    assert side.second.manifest_keys == {"ключ/ü"}


async def test_a_key_that_nobody_has(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    assert await side.where("nowhere") is None
    assert await side.where("nowhere") is None
    assert side.first.heads_of("nowhere") == 1  # remembered
    assert await side.service.update("nowhere") is None
    assert await side.service.relocate("nowhere") is None


async def test_a_file_that_moved(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    await side.service.update("a")
    side.first.remove("a")
    side.second.add("a", b"moved")
    moved = await side.service.relocate("a")
    assert moved is not None
    assert (moved.entry.bucket.name, moved.entry.size_bytes) == ("second", 5)
    assert (moved.relocated_from, moved.relocated_to) == ("first", "second")
    assert (moved.duplicate, moved.note) == (False, None)
    assert await side.where("a") == "second"


async def test_a_duplicate(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    side.second.add("a")
    moved = await side.service.relocate("a")
    assert moved is not None
    assert moved.duplicate
    assert moved.note == "also in second; first has the highest priority"
    assert side.kept.registry.duplicates == {"a"}


async def test_a_duplicate_that_a_request_meets(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    side.second.add("a")
    assert await side.where("a") == "first"
    await until(lambda: side.kept.registry.duplicates == {"a"})


async def test_a_file_that_is_gone(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    assert await side.where("a") == "first"
    await until(lambda: side.kept.count == 1)
    side.first.remove("a")
    await trio.sleep(3)  # beyond the TTL
    assert await side.where("a") is None
    await until(lambda: side.kept.count == 0)
    await until(lambda: side.service.count == 0)


async def test_reading_the_buckets_anew(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    side.second.add("b")
    await side.service.sync()
    assert side.service.count == 2
    assert await side.list_keys() == ["a", "b"]


async def test_a_long_list_is_whole_and_in_order(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    for n in range(4321):
        side.first.add(f"key-{n:05}")
    await side.service.sync()
    assert await side.list_keys() == [f"key-{n:05}" for n in range(4321)]


async def test_two_lists_at_a_time_and_one_that_nobody_finishes(
    make: Make, autojump_clock: MockClock
) -> None:
    side = await make()
    for n in range(2500):
        side.first.add(f"key-{n:05}")
    await side.service.sync()
    async with aclosing(side.files.sorted_batches()) as one:
        first = await anext(one)
        async with aclosing(side.files.sorted_batches()) as other:
            assert await anext(other) == first
        assert len([entry async for batch in one for entry in batch]) == 2500 - len(first)
    assert len(await side.list_keys()) == 2500


async def test_an_empty_list(make: Make, autojump_clock: MockClock) -> None:
    assert await (await make()).list_keys() == []


async def test_s3_is_away(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.fail(unavailable)
    side.second.fail(unavailable)
    for ask in (side.service.update("a"), side.service.relocate("a"), side.service.sync()):
        with pytest.raises(Unavailable) as caught:
            await ask
        assert caught.value.retry_after_s >= 1
    with pytest.raises(Unavailable):
        await side.where("a")


async def test_s3_refuses(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.fail(denied)
    side.second.fail(denied)
    with pytest.raises(Denied, match="S3 says 403"):
        await side.service.update("a")


async def test_manifests_cannot_be_written(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    side.first.fail(denied, "put")
    with pytest.raises(PersistFailed, match="first"):
        await side.service.update("a")


async def test_known_keys_go_on_while_s3_is_away(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    assert await side.where("a") == "first"
    side.first.fail(unavailable)
    side.second.fail(unavailable)
    await trio.sleep(10)
    assert await side.where("a") == "first"


async def test_readiness(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    assert side.readiness.reason() is None
    assert side.service.ready
    side.spoken.because = "shutting down"
    await until(lambda: side.readiness.reason() == "shutting down")
    side.spoken.because = None
    await until(lambda: side.readiness.reason() is None)


async def test_a_scrape(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    assert await side.exposition.render("text/x") == ("text/plain", b"up 1\n")
    assert side.spoken.accepted == ["text/x"]


async def test_a_request_that_is_given_up(make: Make, autojump_clock: MockClock) -> None:
    side = await make()
    side.first.add("a")
    side.first.delay_s = 5
    with trio.move_on_after(1) as impatient:
        await side.service.update("a")
    assert impatient.cancelled_caught
    side.first.delay_s = 0
    assert await side.service.update("a")


async def test_settings_that_trust_the_registry(make: Make, autojump_clock: MockClock) -> None:
    side = await make(verify="never")
    side.first.add("a")
    await side.service.update("a")
    side.first.remove("a")
    assert await side.where("a") == "first"
    known = side.lookup.resolve_nowait("a")
    assert known is not None
    assert known.fresh is None
