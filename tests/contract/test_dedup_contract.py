"""CONTRACT section 4, sentence by sentence: what users of filetracker servers already rely on."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import trio

from tests.contract.dedup import Tracker, at, environ_of, hints, packed, tracking
from tests.contract.scene import IMPATIENT, Scene, serving
from tests.real_s3.faults import FaultyFront

DATA = b"line after line after line\n" * 400
KEY = "a-key-that-nobody-guesses"


# -- where it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["/ft", "", "/some/where"])
async def test_mounted_at_ft_and_wherever_else(scene: Scene, tmp_path: Path, mount: str) -> None:
    async with tracking(scene, tmp_path, mount=mount) as tracker:
        for path in ("version", "version/"):
            answer = await tracker.ask("GET", path)
            assert answer.status_code == 200
            assert answer.content == b'{"protocol_versions":[2]}'
        assert (await tracker.put("a/b", DATA)).status_code == 200
        assert await tracker.data("a/b") == DATA
        assert await tracker.listed() == ["a/b"]
        assert await tracker.listed("a") == ["b"]
        assert (await tracker.delete("a/b")).status_code == 200
        for path in ("/status", "/readiness", "/health", "/metrics"):
            assert (await tracker.server.get(path)).status_code == 200


# -- PUT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?last_modified=", "?last_modified=junk"])
async def test_last_modified_is_required(tracker: Tracker, query: str) -> None:
    for method in ("PUT", "DELETE"):
        answer = await tracker.ask(method, "files/a", query, DATA)
        assert answer.status_code == 400
        assert "last_modified" in answer.headers["x-exception"]
    assert (await tracker.listed(), tracker.keys()) == ([], [])


@pytest.mark.parametrize(
    ("version", "stored"),
    [
        ("Thu, 01 Jan 1970 00:00:00 -0000", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Wed, 31 Dec 1969 23:59:00 +0000", "Wed, 31 Dec 1969 23:59:00 GMT"),
        ("Thu, 01 Jan 1970 01:00:00 +0200", "Wed, 31 Dec 1969 23:00:00 GMT"),
        ("Sun, 06 Nov 1994 08:49:37 -0930", "Sun, 06 Nov 1994 18:19:37 GMT"),
    ],
)
async def test_versions_of_every_zone(tracker: Tracker, version: str, stored: str) -> None:
    query = f"?last_modified={quote(version)}"
    for _ in range(2):
        answer = await tracker.ask("PUT", "files/a", query, DATA)
        assert (answer.status_code, answer.headers["last-modified"]) == (200, stored)
    assert (await tracker.head("a")).headers["last-modified"] == stored
    assert await tracker.listed(query=query) == ["a"]


async def test_older_has_no_effect_and_equal_or_newer_replaces(tracker: Tracker) -> None:
    await tracker.put("a", b"two hundred", 200)
    answer = await tracker.put("a", b"older", 199)
    assert answer.status_code == 200
    assert answer.headers["last-modified"] == "Thu, 01 Jan 1970 00:03:20 GMT"
    assert await tracker.data("a") == b"two hundred"
    for version in (200, 201):
        answer = await tracker.put("a", b"at %d" % version, version)
        assert answer.headers["last-modified"] == f"Thu, 01 Jan 1970 00:03:{version - 180} GMT"
        assert await tracker.data("a") == b"at %d" % version


async def test_plain_gzipped_and_hinted_uploads_share_one_object(tracker: Tracker) -> None:
    assert (await tracker.put("plain", DATA)).status_code == 200
    assert (
        await tracker.put("gzipped", packed(DATA), headers={"Content_Encoding": "gzip"})
    ).is_success
    assert (await tracker.put("hinted", packed(DATA), headers=hints(DATA))).is_success
    assert tracker.keys() == [tracker.key(DATA)]
    for path in ("plain", "gzipped", "hinted"):
        assert await tracker.data(path) == DATA


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (DATA, {"SHA256_Checksum": hashlib.sha256(b"").hexdigest()}),
        (DATA, {"Logical_Size": "1"}),
        (packed(DATA), {**hints(DATA), "Logical_Size": str(len(DATA) + 1)}),
        (packed(DATA + b"!"), hints(DATA)),
        (packed(DATA)[:-1], hints(DATA)),
        (b"\x1f\x8b junk", {"Content_Encoding": "gzip"}),
        (DATA, {"Content_Encoding": "gzip"}),
        (DATA, {"SHA256_Checksum": "../" * 21 + "x"}),
    ],
)
async def test_what_is_wrong_is_400_and_nothing_is_stored(
    tracker: Tracker, data: bytes, headers: dict[str, str]
) -> None:
    for path in ("a", "b"):
        answer = await tracker.put(path, data, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert (await tracker.listed(), tracker.keys()) == ([], [])


async def test_a_body_in_chunks(tracker: Tracker) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 1000):
            yield DATA[start : start + 1000]

    assert (await tracker.put("a", pieces())).status_code == 200
    assert await tracker.data("a") == DATA


async def test_nothing_is_a_content_too(tracker: Tracker) -> None:
    assert (await tracker.put("empty", b"")).status_code == 200
    assert (await tracker.put("gzip", packed(b""), headers=hints(b""))).status_code == 200
    for path in ("empty", "gzip"):
        assert await tracker.data(path) == b""
        assert (await tracker.head(path)).headers["logical-size"] == "0"


# -- GET and HEAD -----------------------------------------------------------------------------


async def test_gzip_unless_the_client_refuses_it(tracker: Tracker) -> None:
    await tracker.put("a", DATA, 86_400)
    for accepted, is_gzip in (("gzip", True), ("identity", False), ("gzip;q=0", False)):
        got = await tracker.get("a", Accept_Encoding=accepted)
        head = await tracker.head("a", Accept_Encoding=accepted)
        for answer in (got, head):
            assert answer.status_code == 200
            assert answer.headers.get("content-encoding") == ("gzip" if is_gzip else None)
            assert answer.headers["logical-size"] == str(len(DATA))
            assert answer.headers["last-modified"] == "Fri, 02 Jan 1970 00:00:00 GMT"
            size = int(answer.headers["content-length"])
            assert size < 1000 if is_gzip else size == len(DATA)
        assert got.content == DATA
        assert head.content == b""
        assert got.headers["content-length"] == head.headers["content-length"]


async def test_who_says_nothing_gets_gzip(tracker: Tracker) -> None:
    await tracker.put("a", DATA)
    host, _, port = tracker.server.url.rpartition("//")[2].rstrip("/").rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"GET /ft/files/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        head, _, body = b"".join([piece async for piece in stream]).partition(b"\r\n\r\n")
    assert b"\r\ncontent-encoding: gzip" in head
    assert gzip.decompress(body) == DATA


async def test_missing_is_404(tracker: Tracker) -> None:
    await tracker.put("a/b", DATA)
    for path in ("none", "a", "a/b/c"):
        assert (await tracker.get(path)).status_code == 404
        assert (await tracker.head(path)).status_code == 404
        assert (await tracker.delete(path)).status_code == 404


# -- DELETE -----------------------------------------------------------------------------------


async def test_older_deletes_nothing_and_equal_or_newer_deletes(tracker: Tracker) -> None:
    for path, version in (("equal", 200), ("newer", 201)):
        await tracker.put(path, DATA, 200)
        answer = await tracker.delete(path, 199)
        assert answer.status_code == 200
        assert await tracker.data(path) == DATA
        assert (await tracker.delete(path, version)).status_code == 200
        assert await tracker.data(path) is None
        assert (await tracker.delete(path, version)).status_code == 404


# -- list -------------------------------------------------------------------------------------


async def test_lists(tracker: Tracker) -> None:
    for path, version in (("a/x", 1), ("a/b/y", 2), ("ab/x", 3), ("zażółć/gęślą jaźń", -4)):
        await tracker.put(path, DATA, version)
    assert await tracker.listed() == ["a/b/y", "a/x", "ab/x", "zażółć/gęślą jaźń"]
    assert await tracker.listed("a") == ["b/y", "x"]
    assert await tracker.listed("zażółć") == ["gęślą jaźń"]
    assert await tracker.listed(query=at(2)) == ["a/b/y", "a/x", "zażółć/gęślą jaźń"]
    assert await tracker.listed(query=at(-4)) == ["zażółć/gęślą jaźń"]
    assert await tracker.listed(query=at(-5)) == []
    answer = await tracker.ask("GET", "list/none")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await tracker.ask("GET", "list/a/x")).status_code == 400
    assert (await tracker.ask("GET", "list", "?last_modified=x")).status_code == 400


async def test_what_is_dated_later_than_now_is_not_in_the_list(tracker: Tracker) -> None:
    later = 4_000_000_000
    await tracker.put("later", DATA, later)
    assert await tracker.listed() == []
    assert await tracker.listed(query=at(later)) == ["later"]


async def test_a_long_list_over_both_planes(tracker: Tracker) -> None:
    """It has no Content-Length: it is made as it is sent."""
    paths = sorted(f"{number:04}" + "x" * 200 for number in range(500))
    await tracker.put(paths[0], DATA)
    _multiply(tracker.directory / "files.db", paths[0], paths[1:])
    answer = await tracker.ask("GET", "list")
    assert "content-length" not in answer.headers
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.content.decode().split() == paths
    handed_over = await tracker.ask("GET", "list", content=b"a body: not for the edge")
    assert handed_over.content == answer.content
    assert handed_over.headers["transfer-encoding"] == "chunked"
    head = await tracker.ask("HEAD", "list")
    assert (head.status_code, head.content) == (200, b"")
    assert await tracker.listed("none") == []  # and the connection goes on


def _multiply(database: Path, path: str, paths: list[str]) -> None:
    """Further files of the same content, past the server."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO files (path, version_s, blob)"
            " SELECT ?, version_s, blob FROM files WHERE path = ?",
            [(other, path) for other in paths],
        )


# -- bad paths and conflicts ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["%2e%2e/a", "a/%2e%2e/b", "a%2f%2e%2e%2fb", "a/.%2e"])
async def test_dots_are_400(tracker: Tracker, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert (await tracker.ask(method, f"files/{path}", at(1), DATA)).status_code == 400
    assert (await tracker.ask("GET", f"list/{path}")).status_code == 400


async def test_conflicts_are_409_and_nothing_is_stored(tracker: Tracker) -> None:
    await tracker.put("a/b", b"first")
    for path in ("a", "a/b/c", "a/b/c/d"):
        assert (await tracker.put(path, b"second", 999)).status_code == 409
    assert await tracker.listed() == ["a/b"]
    assert await tracker.data("a/b") == b"first"


# -- one at a time, and in parallel ------------------------------------------------------------


async def test_writers_of_one_path_come_one_after_another(tracker: Tracker) -> None:
    statuses = []

    async def put(version_s: int) -> None:
        statuses.append((await tracker.put("a", b"%d" % version_s, version_s)).status_code)

    async with trio.open_nursery() as nursery:
        for version_s in range(1, 31):
            nursery.start_soon(put, version_s)
    assert statuses == [200] * 30
    assert await tracker.data("a") == b"30"


# -- the store --------------------------------------------------------------------------------


async def test_everything_is_there_after_kill_9(scene: Scene, tmp_path: Path) -> None:
    async with tracking(scene, tmp_path) as tracker:
        await tracker.put("a/b", DATA)
        await tracker.put("a/c", DATA)
        await tracker.delete("a/c")
    async with tracking(scene, tmp_path) as tracker:
        assert await tracker.listed() == ["a/b"]
        assert await tracker.data("a/b") == DATA


async def test_keys_are_asked_for(scene: Scene, tmp_path: Path) -> None:
    environ = {"PARPARCHIK_API_KEYS": KEY, "PARPARCHIK_DEDUP_READ_NEEDS_KEY": "no"}
    async with tracking(scene, tmp_path, **environ) as tracker:
        for method in ("PUT", "DELETE"):
            answer = await tracker.ask(method, "files/a", at(1), DATA)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await tracker.put("a", DATA, headers={"X_API_Key": KEY})).status_code == 200
        assert await tracker.data("a") == DATA
    async with tracking(scene, tmp_path, PARPARCHIK_API_KEYS=KEY) as tracker:
        assert (await tracker.get("a")).status_code == 401
        assert (await tracker.ask("GET", "list")).status_code == 401
        assert (await tracker.get("a", Authorization=f"Bearer {KEY}")).content == DATA


async def test_health_looks_at_both(scene: Scene, tmp_path: Path, front: FaultyFront) -> None:
    environ = environ_of(scene, tmp_path) | IMPATIENT | {"S3_ENDPOINT": front.endpoint}
    async with serving(environ) as server:
        answer = await server.get("/health")
        assert answer.status_code == 200
        assert answer.json() == {"status": "healthy", "checks": {"metadata": "ok", "s3": "ok"}}
        await trio.sleep(1.1)  # what was found is good for a second
        front.mode = "500"
        answer = await server.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unhealthy"
        assert answer.json()["checks"]["metadata"] == "ok"
        assert answer.json()["checks"]["s3"] != "ok"


async def test_metrics(tracker: Tracker) -> None:
    await tracker.put("a", DATA)
    await tracker.put("b", DATA)
    await tracker.data("a")
    await tracker.get("none")
    metric = tracker.server.metric
    assert await metric("parparchik_dedup_puts_total") == {(): 2}
    assert await metric("parparchik_dedup_uploads_total") == {(): 1}
    assert await metric("parparchik_dedup_uploads_skipped_total") == {(): 1}
    assert await metric("parparchik_dedup_hits_total") == {(): 1}
    assert await metric("parparchik_dedup_misses_total") == {(): 1}
    assert (await metric("parparchik_dedup_metadata_operations_total"))["put",] == 2
    assert (await metric("parparchik_dedup_files")).keys() == {()}
