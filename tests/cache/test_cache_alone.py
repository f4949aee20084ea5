"""Slow readers of what memory has let go of hold no more than they have to, however many."""

from __future__ import annotations

import pytest
import trio

from parparchik.cache import alone
from parparchik.cache.alone import LARGEST_BYTES, SMALLEST_BYTES, Alone
from parparchik.content import Span
from parparchik.model import Content, FileBlock
from tests.cache.scenes import KIB, MIB, drain, noise, scene

READERS = 24


def test_the_more_there_are_the_smaller_they_get() -> None:
    blocks = Alone()
    granted = [blocks.take(8 * MIB) for _ in range(1000)]
    assert granted[0] == LARGEST_BYTES
    assert granted == sorted(granted, reverse=True)
    assert granted[-1] == SMALLEST_BYTES
    assert blocks.held_bytes < alone.ALONE_BYTES + 1000 * SMALLEST_BYTES
    for size in granted:
        blocks.give_back(size)
    assert blocks.held_bytes == 0
    assert blocks.take(5) == 5


async def test_readers_at_distinct_offsets_share_what_there_is(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.setattr(alone, "ALONE_BYTES", 4 * MIB)
    async with scene(
        memory_bytes=64 * KIB, slice_bytes=MIB, max_object_bytes=64 * MIB, max_fills=64
    ) as s:
        data = noise(READERS * MIB)
        s.bucket.put("a", data)
        got: list[tuple[Content, int, bytes]] = []
        for first in range(0, len(data), MIB):
            span = Span(first, first + MIB - 1)
            content = (await s.found("a", wanted=span)).content(span)
            got.append((content, first, await held(content)))
        await trio.sleep(30)  # the fills wait for readers that do not move, for a while
        sizes = []
        for content, first, begun in got:
            block = await held(content)
            sizes.append(len(block))
            assert begun + block == data[first : first + len(begun + block)]
        assert sum(sizes) < 4 * MIB + READERS * SMALLEST_BYTES
        assert sizes[-1] == SMALLEST_BYTES < sizes[0]
        for content, first, begun in got:
            size = len(begun) + sizes.pop(0)
            assert await drain(content) == data[first + size : first + MIB]
            content.close()
        assert s.cache._shelf.alone.held_bytes == 0


async def held(content: Content) -> bytes:
    block = await content.read()
    assert block is not None
    assert not isinstance(block, FileBlock)
    return bytes(block)
