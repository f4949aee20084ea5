"""What is not kept, and how many connections it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from parparchik.cache.types import Found
from parparchik.content import Span
from parparchik.errors import UpstreamError
from parparchik.model import Content
from tests.cache.scenes import KIB, Scene, drain, noise, scene
from tests.fakes_bytes import NOW_S

SIZE = 256 * KIB
READERS = 20
LIMIT = 4  # a scene's, below


def stored(s: Scene, key: str, seed: int = 0) -> bytes:
    data = noise(SIZE, seed)
    s.bucket.put(key, data, headers=(("cache-control", "no-store"),))
    return data


async def opened(s: Scene, key: str) -> Content:
    found: Found = await s.found(key)
    assert found.status == "BYPASS"
    return found.content(Span(0, SIZE - 1))


async def first_of(content: Content) -> bytes:
    block = await content.read()
    assert isinstance(block, bytes | memoryview)
    return bytes(block)


async def test_readers_that_rest_hold_no_connections(autojump_clock: MockClock) -> None:
    async with scene(max_fills=LIMIT) as s:
        data = stored(s, "a")
        contents = [await opened(s, "a") for _ in range(READERS)]
        begun = [await first_of(content) for content in contents]
        assert s.bucket.reading == READERS
        await trio.sleep(5)
        assert s.bucket.reading == LIMIT
        for content, block in zip(contents, begun, strict=True):
            assert block + await drain(content) == data
            content.close()
        await trio.sleep(5)
        assert s.bucket.reading == 0


async def test_few_of_them_may(autojump_clock: MockClock) -> None:
    async with scene(max_fills=LIMIT) as s:
        data = stored(s, "a")
        contents = [await opened(s, "a") for _ in range(LIMIT)]
        await trio.sleep(50)
        assert s.bucket.reading == LIMIT
        for content in contents:
            assert await drain(content) == data
            content.close()
        assert s.bucket.count("open") == LIMIT


async def test_who_reads_on_keeps_what_it_has(autojump_clock: MockClock) -> None:
    async with scene(max_fills=LIMIT) as s:
        data = stored(s, "a")
        contents = [await opened(s, "a") for _ in range(READERS)]
        busy, received = contents[0], b""
        while (block := await busy.read()) is not None:
            assert isinstance(block, bytes | memoryview)
            received += block
            await trio.sleep(0.5)
        busy.close()
        assert received == data
        assert s.bucket.reading < LIMIT + 1
        assert s.bucket.count("open") == READERS
        for content in contents:
            content.close()


async def test_a_rest_of_another_object_is_not_given(autojump_clock: MockClock) -> None:
    async with scene(max_fills=LIMIT) as s:
        stored(s, "a")
        contents = [await opened(s, "a") for _ in range(READERS)]
        for content in contents:
            await first_of(content)
        await trio.sleep(5)
        stored(s, "a", seed=1)
        with pytest.raises(UpstreamError):
            await drain(contents[0])
        for content in contents:
            content.close()
        await trio.sleep(5)
        assert s.bucket.reading == 0


def unrecognizable(s: Scene, key: str, seed: int = 0) -> bytes:
    """Neither an ETag nor a date."""
    data = noise(SIZE, seed)
    s.bucket.put(key, data)
    stored = s.bucket.objects[key]
    plain = replace(stored.representation, etag="", last_modified_s=0)
    s.bucket.objects[key] = replace(stored, representation=plain)
    return data


async def test_what_could_be_another_object_is_not_kept(autojump_clock: MockClock) -> None:
    async with scene() as s:
        for seed in range(3):
            data = unrecognizable(s, "a", seed)
            content = await opened(s, "a")
            assert await drain(content) == data
            content.close()
        part = (await s.found("a", wanted=Span(5, 9))).content(Span(5, 9))
        assert await drain(part) == data[5:10]
        part.close()


async def test_what_could_be_another_object_is_not_asked_for_twice(
    autojump_clock: MockClock,
) -> None:
    """Nobody could tell that the rest is of the same one: it breaks off instead."""
    async with scene(max_fills=LIMIT) as s:
        unrecognizable(s, "a", 1)
        contents = [await opened(s, "a") for _ in range(READERS)]
        begun = [await first_of(content) for content in contents]
        unrecognizable(s, "a", 2)
        await trio.sleep(5)  # most have been parted with
        broken = 0
        for content, block in zip(contents, begun, strict=True):
            try:
                assert block + await drain(content) == noise(SIZE, 1)
            except UpstreamError:
                broken += 1
            content.close()
        assert broken == READERS - LIMIT


async def test_of_objects_without_an_etag_the_date_counts(autojump_clock: MockClock) -> None:
    async with scene(max_fills=LIMIT) as s:
        stored(s, "a", 1)
        first = s.bucket.objects["a"]
        dated = replace(first, representation=replace(first.representation, etag=""))
        s.bucket.objects["a"] = dated
        contents = [await opened(s, "a") for _ in range(READERS)]
        begun = [await first_of(content) for content in contents]
        later = replace(dated.representation, last_modified_s=NOW_S + 100)
        s.bucket.objects["a"] = replace(dated, data=noise(SIZE, 2), representation=later)
        await trio.sleep(5)
        broken = 0
        for content, block in zip(contents, begun, strict=True):
            try:
                assert block + await drain(content) == noise(SIZE, 1)
            except UpstreamError:
                broken += 1
            content.close()
        assert broken == READERS - LIMIT
