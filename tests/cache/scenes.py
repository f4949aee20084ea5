"""A cache before a bucket in memory, for tests."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from parparchik.cache import Absent, Disk, Found, ObjectCache, Policy
from parparchik.config.model import CacheConfig
from parparchik.content import ObjectName, Span
from parparchik.errors import UpstreamError
from parparchik.model import Content, FileBlock
from tests.fakes_bytes import NOW_S, FakeBytes

KIB = 1 << 10
MIB = 1 << 20
SMALL = CacheConfig(
    memory_bytes=4 * MIB,
    memory_object_bytes=64 * KIB,
    slice_bytes=64 * KIB,
    max_object_bytes=8 * MIB,
    max_fills=8,
)
POLICY = Policy(ttl_s=60, stale_while_revalidate_s=0, stale_if_error_s=0, negative_ttl_s=5)


def wall_clock() -> float:
    """In step with trio's clock."""
    return NOW_S + trio.current_time()


@dataclass
class Scene:
    bucket: FakeBytes
    cache: ObjectCache
    names: dict[str, ObjectName] = field(default_factory=dict)

    def name(self, key: str) -> ObjectName:
        return self.bucket.object_name(key)

    async def find(
        self, key: str, policy: Policy = POLICY, wanted: Span | None = None
    ) -> Found | Absent:
        return await self.cache.find(self.name(key), policy, wanted or "whole")

    async def get(self, key: str, policy: Policy = POLICY) -> tuple[str, bytes]:
        """The status and the bytes of a whole object."""
        found = await self.found(key, policy)
        return found.status, await body(found)

    async def range(
        self, key: str, first: int, last: int, policy: Policy = POLICY
    ) -> tuple[str, bytes]:
        found = await self.found(key, policy, Span(first, last))
        return found.status, await body(found, Span(first, last))

    async def found(self, key: str, policy: Policy = POLICY, wanted: Span | None = None) -> Found:
        found = await self.find(key, policy, wanted)
        assert not isinstance(found, Absent), f"{key} is absent"
        return found


@asynccontextmanager
async def scene(
    config: CacheConfig = SMALL,
    disk: Disk | None = None,
    *,
    bucket: FakeBytes | None = None,
    **changes: object,
) -> AsyncIterator[Scene]:
    bucket = bucket or FakeBytes(piece_bytes=16 * KIB)
    config = replace(config, **changes)  # type: ignore[arg-type]
    cache = ObjectCache(config, {bucket.name: bucket}, disk, now=wall_clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        yield Scene(bucket, cache)
        nursery.cancel_scope.cancel()
    assert cache.statistics().failures == 0
    assert bucket.reading == 0, "a body was left open"


class Gate:
    """Holds the first to come at a point of a fake until it is opened."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.reached = trio.Event()
        self.go = trio.Event()

    async def __call__(self, point: str, _: object) -> None:
        if point == self._where and not self.reached.is_set():
            self.reached.set()
            await self.go.wait()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110  what a thread does rings no bell
            await trio.sleep(0.01)


async def body(found: Found, span: Span | None = None) -> bytes:
    content = found.content(span or Span(0, found.representation.size_bytes - 1))
    try:
        return await drain(content)
    finally:
        content.close()


async def break_off(content: Content) -> bytes:
    """What comes of a body before it breaks off, as it has to."""
    data = b""
    try:
        while (block := await content.read()) is not None:
            assert isinstance(block, bytes | memoryview)
            data += block
    except UpstreamError:
        return data
    raise AssertionError("it came whole")


async def drain(content: Content, each: Callable[[int], None] = lambda size: None) -> bytes:
    data = bytearray()
    while (block := await content.read()) is not None:
        if isinstance(block, FileBlock):
            block = os.pread(block.fd, block.size_bytes, block.offset)
        else:
            assert 0 < len(block) <= MIB
        data += block
        each(len(block))
    return bytes(data)


def noise(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)
