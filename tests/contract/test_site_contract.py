"""CONTRACT, website mode: every sentence; the flaws are in test_site_flaws.

The options and their names are in tests/config and tests/cli, the fields of the request metrics
byte by byte in tests/sinks, file names and torn files of the cache in tests/cache, the fallbacks
that s3-proxy did not have in tests/site.
"""

from __future__ import annotations

import gzip

import pytest
import trio
from trio.testing import MockClock

from parparchik.access import Observation
from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.sinks import Sinks
from parparchik.sinks.batches import Note
from tests.contract.site_scene import serving

TEXT = b"All that is gold does not glitter.\n" * 200
CLEAR = "/_proxy/_private/_cache/clear"
AUTH_KEY = "a-key-that-nobody-guesses"


# Methods, paths and queries.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_get_head_and_options_only(autojump_clock: MockClock, method: str) -> None:
    async with serving() as scene:
        scene.bytes.put("a", b"x")
        reply = await scene.act(method, "/a")
        assert (reply.status, reply["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert (await scene.act("OPTIONS", "/a")).status == 204
        head, get = await scene.get("/a", "HEAD"), await scene.get("/a")
        assert (head.status, head.body, get.body) == (200, b"", b"x")
        assert head["etag"] == get["etag"]


@pytest.mark.parametrize("target", ["/", "/docs/", "/a/b/"])
async def test_paths_that_end_in_a_slash_serve_the_index_below(
    autojump_clock: MockClock, target: str
) -> None:
    async with serving() as scene:
        scene.bytes.put(target[1:] + "index.html", target.encode(), content_type="text/html")
        assert (await scene.get(target)).body == target.encode()


@pytest.mark.parametrize("target", ["/../a", "/a/..", "/%2e%2e/a", "/a/%2E./b", "/a%2f..%2fb"])
async def test_400_for_a_path_with_dots_encoded_or_not(
    autojump_clock: MockClock, target: str
) -> None:
    async with serving() as scene:
        assert (await scene.get(target)).status == 400
        assert not scene.bytes.asked


async def test_queries_are_refused_where_configured_and_else_ignored(
    autojump_clock: MockClock,
) -> None:
    async with serving(reject_query_strings=True) as scene:
        scene.bytes.put("a", b"x")
        assert (await scene.get("/a?b=c")).status == 400
        assert (await scene.get("/a")).status == 200
    async with serving() as scene:
        scene.bytes.put("a", b"x")
        assert (await scene.get("/a?b=c")).body == b"x"
        assert (await scene.get("/a?d=e"))["x-cache"] == "HIT"


async def test_missing_is_404_cached_for_the_ttl(autojump_clock: MockClock) -> None:
    async with serving(ttl_s=100.0) as scene:
        for _ in range(3):
            assert (await scene.get("/nowhere")).status == 404
        assert scene.bytes.count("open", "nowhere") + scene.bytes.count("stat", "nowhere") == 1
        scene.bytes.put("nowhere", b"here")
        await trio.sleep(99)
        assert (await scene.get("/nowhere")).status == 404
        await trio.sleep(2)
        assert (await scene.get("/nowhere")).body == b"here"


# What is said of an object.


@pytest.mark.parametrize(
    ("key", "stored", "sent"),
    [
        ("a.html", "text/x-special", "text/x-special"),
        ("a.html", "", "text/html; charset=utf-8"),
        ("a.html", "binary/octet-stream", "text/html; charset=utf-8"),
        ("a.svg", "", "image/svg+xml"),
        ("a.unheard-of", "", "application/octet-stream"),
        ("a", "", "application/octet-stream"),
    ],
)
async def test_the_content_type_is_s3s_else_by_extension(
    autojump_clock: MockClock, key: str, stored: str, sent: str
) -> None:
    async with serving() as scene:
        scene.bytes.put(key, b"x", content_type=stored)
        assert (await scene.get("/" + key))["content-type"] in (sent, sent.partition(";")[0])


async def test_etag_last_modified_and_cache_control_are_s3s(autojump_clock: MockClock) -> None:
    async with serving() as scene:
        headers = (("cache-control", "max-age=7"),)
        stored = scene.bytes.put("a", b"x", headers=headers)
        for _ in range(2):
            reply = await scene.get("/a")
            assert reply["etag"] == stored.etag
            assert reply["last-modified"] == "Thu, 28 May 2026 20:26:40 GMT"
            assert reply["cache-control"] == "max-age=7"


async def test_without_cache_control_there_is_max_age_and_expires(
    autojump_clock: MockClock,
) -> None:
    async with serving(ttl_s=120.0) as scene:
        scene.bytes.put("a", b"x")
        reply = await scene.get("/a")
        assert reply["cache-control"] == "max-age=120"
        assert reply["expires"] == "Thu, 28 May 2026 20:28:40 GMT"


async def test_gzip_for_text_when_the_client_accepts_it(autojump_clock: MockClock) -> None:
    async with serving() as scene:
        scene.bytes.put("a.txt", TEXT, content_type="text/plain")
        scene.bytes.put("a.png", TEXT, content_type="image/png")
        for _ in range(2):
            coded = await scene.get("/a.txt", accept_encoding="gzip")
            assert coded["content-encoding"] == "gzip"
            assert gzip.decompress(coded.body) == TEXT
        for target, accepted in (("/a.txt", ""), ("/a.txt", "gzip;q=0"), ("/a.png", "gzip")):
            plain = await scene.get(target, accept_encoding=accepted)
            assert (plain["content-encoding"], plain.body) == ("", TEXT)
        assert scene.bytes.count("open", "a.txt") == 1


BEFORE, SAME = "Thu, 28 May 2026 20:26:39 GMT", "Thu, 28 May 2026 20:26:40 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": '"e"'}, 304),
        ({"if_none_match": 'W/"e"'}, 304),
        ({"if_none_match": '"x", "e"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_none_match": '"x"', "if_modified_since": SAME}, 200),
        ({"if_none_match": '"e"', "if_modified_since": BEFORE}, 304),
        ({"if_modified_since": SAME}, 304),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_match": '"e"'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": 'W/"e"'}, 412),
        ({"if_match": '"x"'}, 412),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_unmodified_since": SAME}, 200),
    ],
)
async def test_conditional_requests(
    autojump_clock: MockClock, headers: dict[str, str], status: int
) -> None:
    async with serving() as scene:
        scene.bytes.put("a", b"x", etag='"e"')
        for _ in range(2):
            for method in ("GET", "HEAD"):
                assert (await scene.get("/a", method, **headers)).status == status


@pytest.mark.parametrize(
    ("header", "status", "body", "content_range"),
    [
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),  # Safari plays no video without
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", ""),
        ("lines=1-2", 200, b"0123456789", ""),
    ],
)
async def test_ranges(
    autojump_clock: MockClock, header: str, status: int, body: bytes, content_range: str
) -> None:
    async with serving() as scene:
        scene.bytes.put("a", b"0123456789")
        for _ in range(2):
            reply = await scene.get("/a", range=header)
            assert (reply.status, reply.body) == (status, body)
            assert reply["content-range"] == content_range


async def test_several_ranges(autojump_clock: MockClock) -> None:
    async with serving() as scene:
        scene.bytes.put("a", b"0123456789" * 1000, content_type="text/plain")
        reply = await scene.get("/a", range="bytes=0-1,5005-5006")
        assert reply.status == 206
        assert reply["content-type"].startswith("multipart/byteranges; boundary=")
        assert b"content-range: bytes 5005-5006/10000\r\n\r\n56\r\n" in reply.body.lower()


# The way to clear the cache.


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("auth_key", "authorization", "status"),
    [
        (AUTH_KEY, "", 403),
        (AUTH_KEY, "Basic eDp5", 400),
        (AUTH_KEY, "Bearer wrong", 403),
        (AUTH_KEY, f"Bearer {AUTH_KEY}", 304),
        ("", "", 403),
        ("", "Bearer ", 403),
        ("", "Bearer x", 403),
        ("", "Basic eDp5", 403),
    ],
)
async def test_clearing_the_cache(
    autojump_clock: MockClock, method: str, auth_key: str, authorization: str, status: int
) -> None:
    async with serving(auth_key=auth_key) as scene:
        scene.bytes.put("a", b"old", content_type="text/plain")
        await scene.get("/a")
        assert (await scene.get("/b")).status == 404
        for key in ("a", "b"):
            scene.bytes.put(key, b"new")
        headers = {"authorization": authorization} if authorization else {}
        if method == "GET":
            reply = await scene.get(CLEAR, **headers)
        else:
            reply = await scene.act(method, CLEAR, **headers)
        assert reply.status == status
        expected = (b"new", 200) if status == 304 else (b"old", 404)
        assert ((await scene.get("/a")).body, (await scene.get("/b")).status) == expected


# What is measured of a request.


def test_request_metrics_have_these_fields() -> None:
    config = SinksConfig((SinkConfig("influx", "tcp://sink:1"),))
    seen = Observation("GET", "/a", 200, "text/html", True, 12)
    measured = Sinks(config).measure(Note(1, seen, 0.5, "192.0.2.1"))
    assert dict(measured.labels()) == {
        "method": "GET",
        "resource": "/a",
        "mimeType": "text/html",
        "ipaddress": "192.0.2.1",
    }
    figures = {"size": 12, "time": 500_000_000, "status": 200, "compressed": True}
    assert dict(measured.figures()) == figures
    assert measured.timestamp_ns == 1
