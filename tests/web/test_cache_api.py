"""The cache by the management API: purge and warm, on a cache that remembers what it was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trio

from parparchik.cache import Absent, Coding, Found, Policy, Status, Wanted
from parparchik.config.model import AuthConfig
from parparchik.content import ObjectName, Representation, Span
from parparchik.errors import Truncated, Unavailable
from parparchik.metrics import CACHE_TYPE, STATS_TYPE
from parparchik.web import CacheControl
from parparchik.web.nearby import is_from_here
from tests.cache.scenes import KIB, MIB, noise, scene, until

if TYPE_CHECKING:
    from tests.web.conftest import Reply, StartWeb, Web

POLICY = Policy(ttl_s=7)
KEYS = AuthConfig(api_keys=("a-key",))


class FakeContent:
    def __init__(self, cache: FakeCache, size_bytes: int, breaks: bool) -> None:
        self._cache, self._left, self._breaks = cache, size_bytes, breaks
        cache.open += 1

    async def read(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if self._breaks:
            raise Truncated("S3 broke off")
        piece = min(self._left, 3)
        self._left -= piece
        self._cache.read_bytes += piece
        return bytes(piece) if piece else None

    def close(self) -> None:
        self._cache.open -= 1


@dataclass
class FakeFound:
    cache: FakeCache
    name: ObjectName
    representation: Representation
    status: Status = "MISS"
    age_s: int = 0
    fresh_for_s: float = 1
    body: bytes | None = None

    def content(self, span: Span) -> FakeContent:
        assert span == Span(0, self.representation.size_bytes - 1)
        size_bytes = self.representation.size_bytes
        return FakeContent(self.cache, size_bytes, self.name.key == "torn")

    def content_nowait(self, span: Span) -> None:
        raise AssertionError


class FakeCache:
    """Every object has as many bytes as its key has letters; `missing` there is not, S3 does not
    answer for `failing`, and `huge` is not kept."""

    def __init__(self) -> None:
        self.forgotten: list[ObjectName] = []
        self.prefixes: list[tuple[str, str]] = []
        self.found: list[tuple[ObjectName, Policy, Wanted]] = []
        self.open = self.read_bytes = 0
        self.inside = self.most_inside = 0

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        raise AssertionError

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await trio.testing.wait_all_tasks_blocked()
        self.inside -= 1
        self.found.append((name, policy, wanted))
        if name.key == "missing":
            return Absent()
        if name.key == "failing":
            raise Unavailable("S3 does not answer")
        status: Status = "BYPASS" if name.key == "huge" else "MISS"
        return FakeFound(self, name, Representation(len(name.key), 0), status)

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        raise AssertionError

    def variant_nowait(self, found: Found, coding: Coding) -> Found | Absent | None:
        raise AssertionError

    async def invalidate(self, *names: ObjectName) -> int:
        await trio.lowlevel.checkpoint()
        known = len({name for name in names if name not in self.forgotten})
        self.forgotten += names
        return known

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        await trio.lowlevel.checkpoint()
        self.prefixes.append((bucket, prefix))
        return 5


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


@pytest.fixture
async def web(start_web: StartWeb, cache: FakeCache) -> Web:
    return await start_web(caching=CacheControl(cache, ("a", "b"), POLICY))


async def post(web: Web, path: str, document: object, headers: Sequence[str] = ()) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await web.ask("POST", path, [f"Content-Length: {len(body)}", *headers], body)


async def test_purge_of_a_key(web: Web, cache: FakeCache) -> None:
    reply = await post(web, "/cache/purge", {"bucket": "a", "key": "dir/a+b"})
    assert (reply.status, reply.json) == (200, {"purged": 1})
    assert (cache.forgotten, cache.prefixes) == ([ObjectName("a", "dir/a+b")], [])
    reply = await post(web, "/cache/purge", {"bucket": "a", "key": "dir/a+b"})
    assert reply.json == {"purged": 0}, "it is not known any more"


async def test_purge_of_a_prefix(web: Web, cache: FakeCache) -> None:
    for prefix in ("dir/", ""):
        reply = await post(web, "/cache/purge", {"bucket": "b", "prefix": prefix})
        assert (reply.status, reply.json) == (200, {"purged": 5})
    assert (cache.forgotten, cache.prefixes) == ([], [("b", "dir/"), ("b", "")])


async def test_purge_of_everything(web: Web, cache: FakeCache) -> None:
    reply = await post(web, "/cache/purge", {"all": True})
    assert (reply.status, reply.json) == (200, {"purged": 10})
    assert cache.prefixes == [("a", ""), ("b", "")]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"all": "\xff"}',
        {},
        {"all": False},
        {"bucket": "a"},
        {"key": "k"},
        {"prefix": ""},
        {"bucket": "a", "key": "k", "prefix": ""},
        {"bucket": "a", "key": "k", "all": True},
        {"bucket": "a", "all": True},
        {"bucket": "a", "key": 1},
        {"bucket": "a", "keys": ["k"]},
        {"bucket": "elsewhere", "key": "k"},
        {"bucket": "elsewhere", "prefix": ""},
    ],
    ids=str,
)
async def test_a_purge_of_nobody_knows_what(web: Web, cache: FakeCache, document: object) -> None:
    reply = await post(web, "/cache/purge", document)
    assert reply.status == 400
    assert reply.json["error"]
    assert (cache.forgotten, cache.prefixes) == ([], [])


async def test_warm(web: Web, cache: FakeCache) -> None:
    keys = ["four", "missing", "failing", "torn", "a/../b", "kk", "huge", "four"]
    reply = await post(web, "/cache/warm", {"bucket": "a", "keys": keys})
    assert reply.status == 200
    told = json.loads(reply.body)
    assert (told["warmed"], told["bytes"]) == (2, 6)
    assert (told["missing"], told["passed"]) == (["missing"], ["huge"])
    assert sorted((error["key"], error["code"]) for error in told["errors"]) == [
        ("a/../b", 400),
        ("failing", 503),
        ("torn", 502),
    ]
    assert (ObjectName("a", "four"), POLICY, "whole") in cache.found
    assert len(cache.found) == 6
    # Each has been read to its end: what nobody reads need not be filled.
    assert (cache.read_bytes, cache.open) == (6, 0)


async def test_warming_leaves_room_for_others(web: Web, cache: FakeCache) -> None:
    keys = [f"{n:04}" for n in range(20)]
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(post, web, "/cache/warm", {"bucket": "a", "keys": keys})
    assert cache.most_inside <= 4
    assert len(cache.found) == 60


async def test_a_thousand_long_keys(web: Web) -> None:
    keys = [f"{n:04}{'k' * 1000}" for n in range(1000)]
    reply = await post(web, "/cache/warm", {"bucket": "a", "keys": keys})
    assert (reply.status, reply.json["warmed"]) == (200, 1000)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"bucket": "a", "keys": []}, 400),
        ({"bucket": "a", "keys": ["k"] * 1001}, 400),
        ({"bucket": "a"}, 400),
        ({"bucket": "elsewhere", "keys": ["k"]}, 400),
        (b" " * ((2 << 20) + 1), 413),
    ],
    ids=["none", "many", "no keys", "elsewhere", "large"],
)
async def test_a_warming_that_is_refused(
    web: Web, cache: FakeCache, document: object, status: int
) -> None:
    assert (await post(web, "/cache/warm", document)).status == status
    assert cache.found == []


@pytest.mark.parametrize(("path", "kind"), [("/stats", STATS_TYPE), ("/cache/stats", CACHE_TYPE)])
async def test_figures_come_out_of_a_scrape(web: Web, path: str, kind: str) -> None:
    reply = await web.ask("GET", path)
    assert reply.status == 200
    assert reply.header("content-type") == f"text/plain; accepted={kind}"
    assert (await web.ask("HEAD", path)).status == 200
    assert (await web.ask("DELETE", path)).status == 405


async def test_health(web: Web) -> None:
    reply = await web.ask("GET", "/health")
    assert (reply.status, reply.json) == (200, {"status": "healthy"})


REQUESTS = (
    ("GET", "/stats", b""),
    ("GET", "/cache/stats", b""),
    ("POST", "/cache/purge", b'{"all": true}'),
    ("POST", "/cache/warm", b'{"bucket": "a", "keys": ["k"]}'),
)


@pytest.mark.parametrize("path", ["/cache/purge", "/cache/warm"])
@pytest.mark.parametrize("passed_on", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"])
async def test_without_keys_it_is_for_this_machine(
    web: Web, cache: FakeCache, path: str, passed_on: str
) -> None:
    """The public of a website, which reaches us through a proxy, does not empty its cache."""
    for document in ({"all": True}, {"bucket": "a", "keys": ["k"]}):
        assert (await post(web, path, document, [passed_on])).status == 403
    assert (cache.found, cache.forgotten, cache.prefixes) == ([], [], [])


@pytest.mark.parametrize(
    ("client", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("somewhere", False),
    ],
)
def test_what_is_this_machine(client: str, here: bool) -> None:
    assert is_from_here(client, ((b"host", b"h"),)) is here
    assert not is_from_here(client, ((b"x-real-ip", b"127.0.0.1"),))


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_an_api_key_is_needed(
    start_web: StartWeb, cache: FakeCache, method: str, path: str, body: bytes
) -> None:
    web = await start_web(auth=KEYS, caching=CacheControl(cache, ("a",), POLICY))
    length = f"Content-Length: {len(body)}"
    refused: tuple[list[str], ...] = ([], ["X-API-Key: wrong"])
    for headers in refused:
        reply = await web.ask(method, path, [length, *headers], body)
        assert reply.status == 401
        assert reply.header("www-authenticate") == "Bearer"
    assert (cache.found, cache.prefixes) == ([], [])
    assert (await web.ask(method, path, [length, "X-API-Key: a-key"], body)).status == 200
    assert (await web.ask("GET", "/health")).status == 200


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_where_nothing_is_cached(
    start_web: StartWeb, method: str, path: str, body: bytes
) -> None:
    web = await start_web()
    reply = await web.ask(method, path, [f"Content-Length: {len(body)}"], body)
    assert (reply.status, reply.json) == (404, {"error": "not found"})
    assert (await web.ask("GET", "/health")).status == 200


async def test_with_the_cache_itself(start_web: StartWeb) -> None:
    """What was warmed is a hit; what is not kept is said, and leaves nothing open."""
    async with scene(max_object_bytes=MIB) as s:
        web = await start_web(caching=CacheControl(s.cache, (s.bucket.name,), POLICY))
        s.bucket.put("a/1", noise(500 * KIB))
        s.bucket.put("a/large", noise(2 * MIB))
        s.bucket.put("a/private", b"x", headers=(("cache-control", "private"),))
        for _ in range(2):
            for key, told in (
                ("a/1", {"warmed": 1, "bytes": 500 * KIB}),
                ("a/large", {"passed": ["a/large"]}),
                ("a/private", {"passed": ["a/private"]}),
                ("a/none", {"missing": ["a/none"]}),
            ):
                reply = await post(web, "/cache/warm", {"bucket": s.bucket.name, "keys": [key]})
                nothing = {"warmed": 0, "bytes": 0, "missing": [], "passed": [], "errors": []}
                assert reply.json == nothing | told
        assert s.bucket.count("open", "a/1") == 1
        assert (await s.get("a/1", POLICY))[0] == "HIT"
        one = {"bucket": s.bucket.name, "key": "a/1"}
        for count in (1, 0):
            assert (await post(web, "/cache/purge", one)).json == {"purged": count}
        assert (await s.get("a/1", POLICY))[0] == "MISS"
        await post(web, "/cache/purge", {"bucket": s.bucket.name, "prefix": "a/"})
        assert (await post(web, "/cache/purge", {"all": True})).json == {"purged": 0}
        assert (await s.get("a/1", POLICY))[0] == "MISS"
        await until(lambda: not s.bucket.reading)
