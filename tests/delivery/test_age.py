"""A cache before S3: how old its answers are when they come counts (RFC 9111 section 4.2.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from parparchik.cache import DiskStore, ObjectCache, Policy
from parparchik.config.model import CacheConfig
from parparchik.delivery import Deliverer
from parparchik.model import Answer
from tests.cache.disks import running
from tests.delivery.scene import request_with, serving
from tests.fakes_bytes import NOW_S, FakeBytes

PAGE = b"What is said twice is said twice. " * 1000
AN_HOUR = (("cache-control", "max-age=3600"),)


@dataclass
class World:
    """The clock stands, and `seen` lets it go on before it asks."""

    bucket: FakeBytes
    deliverer: Deliverer
    clock: list[float]
    policy: Policy

    async def seen(self, after_s: float = 0, **fields: str) -> tuple[str, str | None]:
        """X-Cache and Age of an answer, all of it read."""
        self.clock[0] += after_s
        request = request_with(**fields)
        asked = serving("a", policy=self.policy, compress_min_bytes=100)
        answer = self.deliverer.answer_nowait(request, asked)
        if answer is None:
            answer = await self.deliverer.answer(request, asked)
        assert isinstance(answer, Answer)
        assert answer.status == 200
        if answer.content is not None:
            while await answer.content.read() is not None:
                pass  # it may be of a file: the bytes do not matter here
            answer.content.close()
        said = dict(answer.headers)
        return said[b"x-cache"].decode(), said[b"age"].decode() if b"age" in said else None


@asynccontextmanager
async def world(
    bucket: FakeBytes, *, ttl_s: float = 60, disk: DiskStore | None = None, now_s: float = NOW_S
) -> AsyncIterator[World]:
    clock = [now_s]
    policy = Policy(ttl_s=ttl_s, stale_while_revalidate_s=0, stale_if_error_s=0)
    cache = ObjectCache(CacheConfig(), {"bucket": bucket}, disk, now=lambda: clock[0])
    deliverer = Deliverer(cache, compress_max_bytes=1 << 20, now=lambda: clock[0])
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        yield World(bucket, deliverer, clock, policy)
        nursery.cancel_scope.cancel()


async def test_s3s_time_has_begun_when_it_comes() -> None:
    bucket = FakeBytes()
    bucket.put("a", PAGE, headers=AN_HOUR, age_s=3000)
    async with world(bucket) as w:
        assert await w.seen() == ("MISS", "3000")
        assert await w.seen(after_s=599) == ("HIT", "3599")
        bucket.put("a", PAGE, headers=AN_HOUR, age_s=100)
        assert await w.seen(after_s=1) == ("REVALIDATED", "100")
        assert await w.seen(after_s=3499) == ("HIT", "3599")
        bucket.put("a", PAGE, headers=AN_HOUR)
        assert await w.seen(after_s=1) == ("REVALIDATED", "0")
        assert await w.seen(after_s=3599) == ("HIT", "3599")


async def test_expires_is_a_time_whatever_the_age() -> None:
    bucket = FakeBytes()
    expires = (("expires", "Thu, 28 May 2026 20:26:40 GMT"),)  # NOW_S
    bucket.put("a", PAGE, headers=expires, age_s=3000)
    async with world(bucket, now_s=NOW_S - 500) as w:
        assert await w.seen() == ("MISS", "3000")
        assert await w.seen(after_s=499) == ("HIT", "3499")
        assert await w.seen(after_s=1) == ("REVALIDATED", "3000")


async def test_what_has_expired_on_the_way_is_asked_about_each_time() -> None:
    bucket = FakeBytes()
    bucket.put("a", PAGE, headers=AN_HOUR, age_s=3600)
    async with world(bucket) as w:
        assert await w.seen() == ("MISS", "3600")
        assert await w.seen(after_s=1) == ("REVALIDATED", "3600")


async def test_our_own_time_begins_with_us() -> None:
    """A cache before S3 that keeps things for a day must not make ours useless."""
    bucket = FakeBytes()
    bucket.put("a", PAGE, age_s=80_000)
    async with world(bucket, ttl_s=60) as w:
        assert await w.seen() == ("MISS", "80000")
        assert await w.seen(after_s=59) == ("HIT", "80059")
        assert await w.seen(after_s=1) == ("REVALIDATED", "80000")


async def test_a_coded_variant_is_as_old_as_what_it_was_made_from() -> None:
    bucket = FakeBytes()
    bucket.put("a", PAGE, content_type="text/plain", headers=AN_HOUR, age_s=3000)
    async with world(bucket) as w:
        assert await w.seen(accept_encoding="gzip") == ("MISS", "3000")
        assert await w.seen(after_s=10, accept_encoding="gzip") == ("HIT", "3010")


async def test_what_may_not_be_kept_has_the_age_that_it_came_with() -> None:
    bucket = FakeBytes()
    bucket.put("a", PAGE, headers=(("cache-control", "no-store"),), age_s=5)
    async with world(bucket) as w:
        assert await w.seen() == ("BYPASS", "5")


async def test_the_disk_remembers_it(tmp_path: Path) -> None:
    bucket = FakeBytes()
    bucket.put("a", PAGE, headers=AN_HOUR, age_s=3000)
    for after_s, seen in ((0, ("MISS", "3000")), (500, ("HIT", "3500")), (600, None)):
        async with (
            running(tmp_path, now=lambda: NOW_S + 600.0) as disk,
            world(bucket, disk=disk) as w,
        ):
            assert await w.seen(after_s) == (seen or ("REVALIDATED", "3000"))
            assert await disk.settle()
