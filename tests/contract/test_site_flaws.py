"""CONTRACT, website mode: the flaws of the original that ours must not have, each by its name.

That a file of the cache cannot be taken for another's is in tests/cache.
"""

from __future__ import annotations

import gzip

import pytest
import trio
from trio.testing import MockClock

from parparchik.access import Observation
from parparchik.config.model import CacheConfig, SinkConfig, SinksConfig
from parparchik.errors import Denied, NoBucket, Truncated, Unavailable, UpstreamError
from parparchik.sinks import Sinks
from parparchik.sinks.batches import Note
from tests.contract.site_scene import MIB, serving

TEXT = b"All that is gold does not glitter.\n" * 200


async def test_new_bytes_under_an_old_etag(autojump_clock: MockClock) -> None:
    """Body, gzip copy and metadata were replaced one after the other. Here all that is read while
    an object keeps changing says of itself what it is."""
    async with serving(ttl_s=0.5, compress=True) as scene:

        def put(version: int) -> None:
            data = b"%06d\n" % version * 1000
            scene.bytes.put("a.txt", data, content_type="text/plain", etag=f'"{version:06}"')

        put(0)
        seen = set()

        async def read(coding: str) -> None:
            for _ in range(60):
                try:
                    reply = await scene.get("/a.txt", accept_encoding=coding)
                except UpstreamError:
                    continue  # broken off because the object changed: not whole, so not wrong
                assert reply.status == 200
                body = gzip.decompress(reply.body) if reply["content-encoding"] else reply.body
                version = reply["etag"].removeprefix("W/")[1:7].encode()
                assert body == version + b"\n" + body[7:]
                assert body == (version + b"\n") * 1000
                seen.add(version)
                await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:
            for coding in ("", "gzip", "gzip"):
                nursery.start_soon(read, coding)
            for version in range(1, 20):
                await trio.sleep(0.3)
                put(version)
        assert len(seen) > 5


FAILURES: tuple[UpstreamError, ...] = (
    Unavailable("away"),
    Denied("403"),
    NoBucket("no bucket"),
    Truncated("broke off"),
    UpstreamError("odd"),
)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_every_upstream_failure_becomes_404(
    autojump_clock: MockClock, error: UpstreamError
) -> None:
    async with serving(spa="app.html", error="e.html", clean_urls=True, listing=True) as scene:
        for operation in ("open", "stat", "list"):
            scene.bytes.failing[operation] = lambda: error
        for target in ("/", "/a", "/a/", "/a.html"):
            for method in ("GET", "HEAD"):
                reply = await scene.get(target, method, accept="text/html")
                assert reply.status == error.status
                assert reply.status in (502, 503)
        scene.bytes.failing.clear()
        scene.bytes.put("a", b"x")
        assert (await scene.get("/a")).body == b"x"


async def test_s3_away_leaves_what_is_known(autojump_clock: MockClock) -> None:
    async with serving(ttl_s=10.0) as scene:
        scene.bytes.put("a", b"x")
        await scene.get("/a")
        scene.bytes.failing["open"] = scene.bytes.failing["stat"] = lambda: Unavailable("away")
        await trio.sleep(3600)
        reply = await scene.get("/a")
        assert (reply.status, reply.body, reply["x-cache"]) == (200, b"x", "STALE")
        assert int(reply["age"]) >= 3600


async def test_a_whole_body_is_held_in_memory(autojump_clock: MockClock) -> None:
    """A reader who takes nothing has S3 send no more than fits."""
    cache = CacheConfig(memory_bytes=4 * MIB, slice_bytes=MIB, max_object_bytes=2 * MIB)
    async with serving(cache=cache) as scene:
        scene.bytes.put("large.bin", bytes(64 * MIB))
        answer = await scene.answer("/large.bin")
        assert (answer.status, answer.size_bytes) == (200, 64 * MIB)
        assert answer.content is not None
        await answer.content.read()
        await trio.sleep(10)
        assert scene.bytes.sent_bytes <= 8 * MIB
        assert scene.cache.statistics().memory_bytes <= 4 * MIB
        answer.content.close()


async def test_no_coalescing(autojump_clock: MockClock) -> None:
    async with serving(precompressed=False) as scene:
        scene.bytes.put("a", b"x" * 100_000)
        replies = []

        async def ask() -> None:
            replies.append(await scene.get("/a"))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)
        assert {(reply.status, len(reply.body)) for reply in replies} == {(200, 100_000)}
        assert scene.bytes.count("open") + scene.bytes.count("stat") == 1


async def test_one_etag_for_two_codings_and_no_vary(autojump_clock: MockClock) -> None:
    async with serving() as scene:
        scene.bytes.put("a.txt", TEXT, content_type="text/plain")
        plain = await scene.get("/a.txt")
        coded = await scene.get("/a.txt", accept_encoding="gzip")
        assert plain["etag"] != coded["etag"]
        for reply in (plain, coded):
            assert "accept-encoding" in reply["vary"].lower()
        again = await scene.get("/a.txt", accept_encoding="gzip", if_none_match=coded["etag"])
        assert again.status == 304


def test_any_x_forwarded_for_is_trusted() -> None:
    seen = Observation("GET", "/a", 200, "", False, 0, forwarded_for="192.0.2.66")
    sinks = Sinks(SinksConfig((SinkConfig("influx", "tcp://sink:1"),)))
    assert sinks.measure(Note(1, seen, 0.5, "203.0.113.1")).address == "203.0.113.1"
    behind = Sinks(SinksConfig(trusted_proxies=("203.0.113.0/24",)))
    assert behind.measure(Note(1, seen, 0.5, "203.0.113.1")).address == "192.0.2.66"


async def test_expiry_refetches_in_full(autojump_clock: MockClock) -> None:
    async with serving(ttl_s=10.0) as scene:
        stored = scene.bytes.put("a", b"x" * 50_000)
        await scene.get("/a")
        sent = scene.bytes.sent_bytes
        await trio.sleep(1000)
        reply = await scene.get("/a")
        assert (reply.status, reply["x-cache"]) == (200, "REVALIDATED")
        assert scene.bytes.asked[-1].if_none_match == stored.etag
        assert scene.bytes.sent_bytes == sent


async def test_unbounded_negative_cache(autojump_clock: MockClock) -> None:
    cache = CacheConfig(negative_max=100)
    async with serving(cache=cache, clean_urls=True, ttl_s=1e6) as scene:
        for number in range(300):
            assert (await scene.get(f"/unknown-{number}")).status == 404
        assert scene.cache.statistics().negatives <= 100


async def test_a_refreshed_index_that_gives_403(autojump_clock: MockClock) -> None:
    """What the peers' users complain of: the path of a folder, and its index, are one page."""
    async with serving(ttl_s=1.0) as scene:
        for version in (b"1", b"2", b"3"):
            scene.bytes.put("docs/index.html", version, content_type="text/html")
            assert {(await scene.get(path)).body for path in INDEX_PATHS} == {version}
            await trio.sleep(100)


INDEX_PATHS = ("/docs/", "/docs/index.html", "/docs/?refresh")
