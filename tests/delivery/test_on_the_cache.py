"""The same on the cache itself, before a bucket whose requests are counted."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import ObjectCache, PieceName
from parparchik.config.model import CacheConfig
from parparchik.content import Span
from parparchik.delivery import Deliverer
from parparchik.model import Answer
from tests.cache.scenes import drain
from tests.delivery.scene import Got, receive, request_with, serving
from tests.fakes_bytes import NOW_S, FakeBytes
from tests.fakes_disk import FakeDisk

SLICE_BYTES = 1 << 16
FILM = bytes(range(256)) * 1024  # four slices
PAGE = b"What is said twice is said twice. " * 1000


@dataclass
class World:
    bucket: FakeBytes
    deliverer: Deliverer

    async def get(self, key: str, method: str = "GET", **fields: str) -> Got:
        request, asked = request_with(method, **fields), serving(key, compress_min_bytes=100)
        answer = self.deliverer.answer_nowait(request, asked)
        if answer is None:
            answer = await self.deliverer.answer(request, asked)
        assert isinstance(answer, Answer)
        return await receive(answer, head=method == "HEAD")


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    bucket = FakeBytes()
    config = CacheConfig(slice_bytes=SLICE_BYTES, memory_object_bytes=SLICE_BYTES)
    now_s = NOW_S + 1000.0
    cache = ObjectCache(config, {"bucket": bucket}, now=lambda: now_s)
    await nursery.start(cache.run)
    return World(bucket, Deliverer(cache, compress_max_bytes=1 << 20, now=lambda: now_s))


async def test_all_of_it_cold_and_warm(world: World) -> None:
    stored = world.bucket.put("film.mp4", FILM)
    for status in ("MISS", "HIT"):
        got = await world.get("film.mp4")
        assert (got.status, got.body, got["etag"]) == (200, FILM, stored.etag)
        assert got["x-cache"] == status
    assert world.bucket.count("open") == 1


async def test_a_small_one_is_answered_from_memory(world: World) -> None:
    world.bucket.put("a", b"hello")
    await world.get("a")
    request, asked = request_with(), serving("a")
    answer = world.deliverer.answer_nowait(request, asked)
    assert isinstance(answer, Answer)
    assert answer.body == b"hello"
    assert world.deliverer.answer_nowait(request, asked) is answer


async def test_a_seek_fetches_what_it_needs(world: World) -> None:
    world.bucket.put("film.mp4", FILM)
    got = await world.get("film.mp4", range="bytes=200000-200099")
    assert (got.status, got.body) == (206, FILM[200_000:200_100])
    assert got["content-range"] == f"bytes 200000-200099/{len(FILM)}"
    assert world.bucket.spans("film.mp4") == [Span(3 * SLICE_BYTES, 4 * SLICE_BYTES - 1)]


async def test_the_end_the_rest_and_several(world: World) -> None:
    world.bucket.put("film.mp4", FILM)
    assert (await world.get("film.mp4", range="bytes=-10")).body == FILM[-10:]
    assert (await world.get("film.mp4", range="bytes=130000-")).body == FILM[130_000:]
    assert (await world.get("film.mp4", range="bytes=0-")).body == FILM
    got = await world.get("film.mp4", range="bytes=5-9,100000-100004")
    assert got["content-type"].startswith("multipart/byteranges; boundary=")
    assert FILM[5:10] in got.body
    assert FILM[100_000:100_005] in got.body
    assert (await world.get("film.mp4", range="bytes=999999-")).status == 416


async def test_beyond_the_end_of_what_is_not_known(world: World) -> None:
    world.bucket.put("film.mp4", FILM)
    got = await world.get("film.mp4", range="bytes=999999-")
    assert (got.status, got["content-range"]) == (416, f"bytes */{len(FILM)}")


async def test_nothing_new_costs_no_body(world: World) -> None:
    etag = world.bucket.put("film.mp4", FILM).etag
    assert (await world.get("film.mp4", if_none_match=etag)).status == 304
    assert (await world.get("film.mp4", "HEAD")).length == len(FILM)
    assert world.bucket.count("open") == 0
    assert (await world.get("film.mp4", if_none_match='"x"')).body == FILM


async def test_a_coding_is_made_once_and_never_in_vain(world: World) -> None:
    etag = world.bucket.put("page.html", PAGE).etag
    coded = f'{etag[:-1]}-gzip"'
    for _ in range(2):
        got = await world.get("page.html", accept_encoding="gzip")
        assert gzip.decompress(got.body) == PAGE
        assert (got["etag"], got["vary"]) == (coded, "Accept-Encoding")
        head = await world.get("page.html", "HEAD", accept_encoding="gzip")
        assert head.length == len(got.body)
    assert (await world.get("page.html", accept_encoding="gzip", if_none_match=coded)).status == 304
    got = await world.get("page.html", accept_encoding="gzip", range="bytes=0-3")
    assert (got.status, got.body, got["etag"]) == (206, PAGE[:4], etag)
    assert world.bucket.count("open") == 1


async def test_an_empty_object(world: World) -> None:
    world.bucket.put("empty", b"")
    for _ in range(2):
        got = await world.get("empty")
        assert (got.status, got.body, got.length) == (200, b"", 0)
        assert (await world.get("empty", range="bytes=0-")).status == 416


async def test_what_may_not_be_kept_passes_whole_and_in_parts(world: World) -> None:
    world.bucket.put("private", FILM, headers=(("cache-control", "private"),))
    for _ in range(2):
        got = await world.get("private")
        assert (got.body, got["x-cache"], "age" in got.headers) == (FILM, "BYPASS", False)
        got = await world.get("private", range="bytes=70000-70009")
        assert (got.status, got.body) == (206, FILM[70_000:70_010])
        got = await world.get("private", range="bytes=5-9,100000-100004")
        assert FILM[100_000:100_005] in got.body
        assert (await world.get("private", if_none_match="*")).status == 304
    assert world.bucket.reading == 0


class TestFromDisk:
    """What large objects on disk are answered with is the same, and known at once."""

    @pytest.fixture
    async def disk(self) -> AsyncIterator[FakeDisk]:
        disk = FakeDisk()
        yield disk
        assert disk.opened == 0, "a piece was left open"
        disk.close()

    @pytest.fixture
    async def world(self, nursery: trio.Nursery, disk: FakeDisk) -> World:
        bucket = FakeBytes()
        config = CacheConfig(slice_bytes=SLICE_BYTES, memory_object_bytes=1000)
        cache = ObjectCache(config, {"bucket": bucket}, disk, now=lambda: NOW_S + 1000.0)
        await nursery.start(cache.run)
        world = World(bucket, Deliverer(cache, compress_max_bytes=0, now=lambda: NOW_S + 1000.0))
        bucket.put("film.mp4", FILM)
        await world.get("film.mp4")
        await wait_all_tasks_blocked()
        return world

    @pytest.mark.parametrize(
        ("fields", "status", "body"),
        [
            ({}, 200, FILM),
            ({"range": "bytes=70000-140000"}, 206, FILM[70_000:140_001]),
            ({"range": "bytes=0-"}, 206, FILM),
            ({"range": "bytes=-5"}, 206, FILM[-5:]),
            ({"range": "bytes=0-9", "if_range": '"x"'}, 200, FILM),
            ({"range": "bytes=999999-"}, 416, b""),
            ({"if_none_match": '"x"'}, 200, FILM),
            ({"if_none_match": "*"}, 304, b""),
            ({"if_match": '"x"'}, 412, b""),
        ],
    )
    async def test_at_once(
        self, world: World, fields: dict[str, str], status: int, body: bytes
    ) -> None:
        for _ in range(2):
            answer = world.deliverer.answer_nowait(request_with(**fields), serving("film.mp4"))
            assert isinstance(answer, Answer)
            got = await receive_from_file(answer)
            assert (got.status, got.body, got["x-cache"]) == (status, body, "HIT")
            head = world.deliverer.answer_nowait(
                request_with("HEAD", **fields), serving("film.mp4")
            )
            assert isinstance(head, Answer)
            assert head.content is None
        assert len(world.bucket.asked) == 1

    async def test_what_has_gone_is_fetched_again(self, world: World, disk: FakeDisk) -> None:
        asked = request_with(range="bytes=70000-70009"), serving("film.mp4")
        first = world.deliverer.answer_nowait(*asked)
        assert isinstance(first, Answer)
        assert (await receive_from_file(first)).body == FILM[70_000:70_010]
        disk.drop(PieceName(serving("film.mp4").name, "", 1))
        assert world.deliverer.answer_nowait(*asked) is None
        again = await world.deliverer.answer(*asked)
        assert isinstance(again, Answer)
        got = await receive_from_file(again)
        assert (got.body, got["x-cache"]) == (FILM[70_000:70_010], "MISS")


async def receive_from_file(answer: Answer) -> Got:
    """`receive` of what comes from files."""
    if answer.content is not None:
        body = await drain(answer.content)
        answer.content.close()
        answer = replace(answer, content=None, body=body, length=None)
    return await receive(answer)
