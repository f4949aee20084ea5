"""The protocol: what clients send, and what they get."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode

import pytest
import trio

from parparchik.errors import ClientGone, Truncated, Unavailable
from tests.dedup.mount_scene import (
    KEY,
    NOW_S,
    body_of,
    date,
    file,
    hinted,
    mounted,
    refused,
    told,
)
from tests.objects.scene import Body, header

pytestmark = pytest.mark.usefixtures("each_way")

DATA = b"the same words again and again " * 500


class Leaving(Body):
    async def read(self) -> bytes:
        if piece := await super().read():
            return piece
        raise ClientGone("the client has left")


@pytest.mark.parametrize("target", ["version", "version/"])
async def test_version(target: str) -> None:
    async with mounted() as scene:
        answer = await scene.ask(target)
        assert answer.status == 200
        assert told(answer) == {"protocol_versions": [2]}


@pytest.mark.parametrize("path", ["/", "/ft/", "/deep/er/"])
async def test_it_is_where_it_is_mounted(path: str) -> None:
    async with mounted(path) as scene:
        assert (await scene.put("a/b", DATA)).status == 200
        assert await scene.data("a/b") == DATA
        assert await scene.listed() == ["a/b"]


async def test_a_file_is_answered_as_it_is_stored() -> None:
    async with mounted() as scene:
        put = await scene.put("a/b", DATA, 86_400)
        assert (put.status, put.body) == (200, b"")
        assert header(put, "last-modified") == "Fri, 02 Jan 1970 00:00:00 GMT"
        answer = await scene.ask("files/a/b")
        assert answer.status == 200
        assert header(answer, "content-encoding") == "gzip"
        assert header(answer, "content-type") == "application/octet-stream"
        assert header(answer, "logical-size") == str(len(DATA))
        assert header(answer, "last-modified") == "Fri, 02 Jan 1970 00:00:00 GMT"
        assert header(answer, "sha256-checksum") == hashlib.sha256(DATA).hexdigest()
        body = await body_of(answer)
        assert len(body) < len(DATA) / 10
        assert gzip.decompress(body) == DATA
        head = await scene.head("a/b")
        assert head.headers == answer.headers
        assert (head.status, head.size_bytes) == (200, len(body))
        assert head.content is None


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        *((None, True), ("gzip", True), ("gzip, deflate", True), ("br, *", True), ("x-gzip", True)),
        *(("identity", False), ("gzip;q=0", False), ("deflate", False), ("", False)),
        *(("gzip;q=0.5, identity", False), ("*;q=0", False)),
    ],
)
async def test_who_refuses_gzip_gets_none(accepted: str | None, is_gzip: bool) -> None:
    fields = {} if accepted is None else {"Accept-Encoding": accepted}
    async with mounted() as scene:
        await scene.put("a", DATA)
        for method in ("HEAD", "GET"):
            answer = await scene.ask("files/a", fields, method=method)
            assert header(answer, "content-encoding") == ("gzip" if is_gzip else None)
            assert header(answer, "vary") == "accept-encoding"
            assert header(answer, "logical-size") == str(len(DATA))
            assert (answer.size_bytes == len(DATA)) is not is_gzip
        body = await body_of(answer)
        assert (gzip.decompress(body) if is_gzip else body) == DATA


@pytest.mark.parametrize("path", ["none", "a/b/c", "ab"])
async def test_missing(path: str) -> None:
    async with mounted() as scene:
        await scene.put("a/b", DATA)
        for method in ("GET", "HEAD"):
            assert path in refused(await scene.ask(f"files/{path}", method=method), 404)
        assert path in refused(await scene.delete(path), 404)


async def test_plain_gzipped_and_hinted_uploads_share_one_object() -> None:
    packed = gzip.compress(DATA, 1)
    async with mounted() as scene:
        await scene.put("plain", DATA)
        await scene.put("gzipped", packed, fields={"Content-Encoding": "gzip"})
        await scene.put("hinted", packed, fields=hinted(DATA))
        capitals = {"SHA256-Checksum": hashlib.sha256(DATA).hexdigest().upper()}
        await scene.put("plain and hinted", DATA, fields=capitals)
        assert len(scene.bucket.objects) == 1
        assert scene.bucket.count("store") == 1
        for path in ("plain", "gzipped", "hinted", "plain and hinted"):
            assert await scene.data(path) == DATA
        digest = hashlib.sha256(DATA).hexdigest()
        assert list(scene.bucket.objects) == [f"{digest[:2]}/{digest[2:4]}/{digest}"]
        assert scene.received == [len(DATA), len(packed), len(packed), len(DATA)]


async def test_an_older_version_changes_nothing() -> None:
    async with mounted() as scene:
        await scene.put("a", b"newer", 200)
        for answer in (await scene.put("a", b"older", 199), await scene.delete("a", 199)):
            assert answer.status == 200
            assert header(answer, "last-modified") == "Thu, 01 Jan 1970 00:03:20 GMT"
        assert await scene.data("a") == b"newer"
        for version in (200, 201):
            answer = await scene.put("a", b"%d" % version, version)
            assert header(answer, "last-modified") == f"Thu, 01 Jan 1970 00:03:{version - 180} GMT"
            assert await scene.data("a") == b"%d" % version


@pytest.mark.parametrize("version", [200, 201])
async def test_an_equal_or_newer_delete_deletes(version: int) -> None:
    async with mounted() as scene:
        await scene.put("a", DATA, 200)
        answer = await scene.delete("a", version)
        assert (answer.status, header(answer, "last-modified")) == (200, None)
        assert await scene.data("a") is None
        refused(await scene.delete("a", version), 404)
        assert (await scene.put("a", DATA, 1)).status == 200  # what is gone has no version


BAD_VERSIONS = [
    *("yesterday", "123", "2020-01-01T00:00:00Z", "Thu, 32 Jan 1970 00:00:00 +0000"),
    *("Thu, 01 Foo 1970 00:00:00 +0000", "Thu, 01 Jan 1970 25:00:00 +0000", "0", "\x00", "é"),
    *("Thu, 01 Jan 1970 00:00:00", "Thu, 01 Jan 0001 00:00:00 +0100", "x" * 10_000),
]


@pytest.mark.parametrize("version", [None, "", *BAD_VERSIONS])
async def test_a_version_that_is_missing_or_junk(version: str | None) -> None:
    target = file("a", None, version)
    async with mounted() as scene:
        await scene.put("a", DATA, 1)
        upload = Body(b"never read")
        assert "last_modified" in refused(await scene.act("PUT", target, upload))
        assert not upload.asked_for
        assert "last_modified" in refused(await scene.act("DELETE", target))
        assert await scene.data("a") == DATA


@pytest.mark.parametrize("version", BAD_VERSIONS)
async def test_a_cut_off_that_is_junk(version: str) -> None:
    async with mounted() as scene:
        target = file("", None, version).replace("files/", "list/")
        assert "last_modified" in refused(await scene.ask(target))


async def test_a_version_given_twice_is_none() -> None:
    async with mounted() as scene:
        target = file("a", 1) + "&last_modified=" + file("", 2).partition("=")[2]
        assert "twice" in refused(await scene.act("PUT", target, DATA))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"SHA256-Checksum": hashlib.sha256(b"other").hexdigest()}, "SHA-256"),
        ({"SHA256-Checksum": "../../../etc/passwd"}, "64 hexadecimal"),
        ({"SHA256-Checksum": "a" * 63 + "/"}, "64 hexadecimal"),
        ({"SHA256-Checksum": "a" * 63}, "64 hexadecimal"),
        ({"SHA256-Checksum": "a" * 60_000}, "64 hexadecimal"),
        ({"SHA256-Checksum": "\xe9" * 64}, "64 hexadecimal"),
        ({"Logical-Size": str(len(DATA) + 1)}, "announced"),
        ({"Logical-Size": str(len(DATA) - 1)}, "announced"),
        ({"Logical-Size": "0"}, "announced"),
        ({"Logical-Size": "-1"}, "number of bytes"),
        ({"Logical-Size": "1e3"}, "number of bytes"),
        ({"Logical-Size": "9" * 5000}, "number of bytes"),
        ({"Logical-Size": "\xb2"}, "number of bytes"),
        ({"Content-Encoding": "gzip"}, "gzip"),
        ({"Content-Encoding": "br"}, "only gzip"),
        ({"Content-Encoding": "gzip, gzip"}, "only gzip"),
    ],
)
async def test_a_body_that_is_not_what_it_is_said_to_be(
    fields: dict[str, str], reason: str
) -> None:
    async with mounted() as scene:
        assert reason in refused(await scene.put("a", DATA, fields=fields))
        assert await scene.data("a") is None
        assert await scene.listed() == []
        assert scene.bucket.objects == {}
        assert (await scene.put("a", DATA)).status == 200


@pytest.mark.parametrize("cut", [1, 8, 20])
async def test_gzip_that_ends_early(cut: int) -> None:
    packed = gzip.compress(DATA)
    async with mounted() as scene:
        for fields in ({"Content-Encoding": "gzip"}, hinted(DATA)):
            refused(await scene.put("a", packed[:-cut], fields=fields))
            assert (await scene.listed(), scene.bucket.objects) == ([], {})


async def test_a_client_that_leaves_has_stored_nothing() -> None:
    async with mounted() as scene:
        with pytest.raises(ClientGone):
            await scene.act("PUT", file("a"), Leaving(b"half of it", size_bytes=20))
        assert await scene.listed() == []
        assert scene.received == [10]


@pytest.mark.parametrize(
    "path",
    [
        *("../a", "a/../b", "a/..", "%2e%2e/a", "a/%2e%2E/b", "a%2f..%2Fb", "a/%2e%2e%2fb", ".."),
        *("./a", "a/./b", "a//b", "//", "%00", "a%0Ab", "a%ff", "a%", "a%2", "%c2%85", "a" * 5000),
    ],
)
async def test_paths_that_can_be_none(path: str) -> None:
    async with mounted() as scene:
        await scene.put("b", DATA)
        for method in ("GET", "HEAD"):
            refused(await scene.ask(f"files/{path}", method=method))
        refused(await scene.ask(f"list/{path}"))
        for method in ("PUT", "DELETE"):
            refused(await scene.act(method, f"files/{path}?last_modified={date(1)}", DATA))
        assert await scene.listed() == ["b"]


async def test_a_file_has_a_path() -> None:
    async with mounted() as scene:
        for target in ("files", "files/"):
            assert "no file" in refused(await scene.ask(target))
            assert "no file" in refused(await scene.act("PUT", target, DATA))


async def test_slashes_where_clients_put_too_many() -> None:
    async with mounted() as scene:
        await scene.put("a/b", DATA)
        for target in ("/files/a/b", "//files/a/b/", "files/a/b/"):
            assert gzip.decompress(await body_of(await scene.ask(target))) == DATA
        assert await body_of(await scene.ask("/list/a/")) == b"b\n"
        assert (await scene.ask("/version/")).status == 200


@pytest.mark.parametrize("path", ["a", "a/b/c", "a/b/c/d/e"])
async def test_conflicts(path: str) -> None:
    async with mounted() as scene:
        await scene.put("a/b", b"first")
        refused(await scene.put(path, DATA), 409)
        assert await scene.listed() == ["a/b"]
        assert await scene.data("a/b") == b"first"


async def test_unicode() -> None:
    names = ["zażółć/gęślą jaźń", "日本/語", "🦜", "a+b&c=d?e#f", "q%41", "\u0301x"]
    async with mounted() as scene:
        for name in names:
            assert (await scene.put(name, name.encode())).status == 200
        assert await scene.listed() == sorted(names, key=str.encode)
        for name in names:
            assert await scene.data(name) == name.encode()
        refused(await scene.delete("ü"), 404)
        await scene.delete("🦜")
        assert "🦜" not in await scene.listed()


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS"])
async def test_methods_that_are_none(method: str) -> None:
    async with mounted() as scene:
        answer = await scene.act(method, "files/a")
        assert header(answer, "allow") == "GET, HEAD, PUT, DELETE"
        refused(answer, 405)


@pytest.mark.parametrize("endpoint", ["list/a", "list", "version"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_what_is_read_is_not_written(endpoint: str, method: str) -> None:
    async with mounted() as scene:
        answer = await scene.act(method, f"{endpoint}?last_modified={date(1)}", DATA)
        assert header(answer, "allow") == "GET, HEAD"
        refused(answer, 405)


@pytest.mark.parametrize(
    "target", ["", "file/a", "versions", "version/2", "Files/a", "favicon.ico"]
)
async def test_there_is_nothing_else(target: str) -> None:
    async with mounted() as scene:
        refused(await scene.ask(target), 404)


async def test_keys_are_asked_for_reading_and_writing_separately() -> None:
    basic = {"Authorization": f"Basic {b64encode(b'anybody:' + KEY.encode()).decode()}"}
    junk = {"Authorization": "Basic %%%"}
    for reading in (True, False):
        for writing in (True, False):
            async with mounted(api_keys=(KEY,), reading=reading, writing=writing) as scene:
                assert (await scene.ask("version")).status == 200
                for target in ("files/a", "list"):
                    expected = 401 if reading else 404 if target == "files/a" else 200
                    assert (await scene.ask(target)).status == expected
                    assert (await scene.ask(target, junk)).status == expected
                    assert (await scene.ask(target, key=KEY)).status != 401
                    assert (await scene.ask(target, basic)).status != 401
                upload = Body(DATA)
                answer = await scene.act("PUT", file("a"), upload)
                assert answer.status == (401 if writing else 200)
                assert upload.asked_for is not writing
                assert header(answer, "www-authenticate") == ("Bearer" if writing else None)
                refusal = await scene.act("DELETE", file("a"), fields=junk)
                assert refusal.status == (401 if writing else 200)
                assert (await scene.act("PUT", file("a"), DATA, key=KEY)).status == 200
                assert (await scene.act("DELETE", file("a"), fields=basic)).status == 200


async def test_an_upstream_failure_is_never_an_absence() -> None:
    async with mounted() as scene:
        await scene.put("a", DATA)
        scene.metadata.broken = True
        for target in ("files/a", "files/none", "list", "list/none"):
            answer = await scene.ask(target)
            refused(answer, 503)
            assert header(answer, "retry-after")
        refused(await scene.head("a"), 503)
        refused(await scene.put("a", DATA), 503)
        refused(await scene.delete("a"), 503)
        scene.metadata.broken = False
        scene.bucket.failing["open"] = lambda: Unavailable("S3 is away")
        refused(await scene.ask("files/a"), 503)
        assert (await scene.head("a")).status == 200
        del scene.bucket.failing["open"]
        scene.bucket.objects.clear()
        assert "missing" in refused(await scene.ask("files/a"), 502)


async def test_a_body_that_breaks_off_does_not_look_whole() -> None:
    async with mounted() as scene:
        await scene.put("a", DATA)
        scene.bucket.break_after[next(iter(scene.bucket.objects))] = 5
        for fields in ({}, {"Accept-Encoding": "identity"}):
            answer = await scene.ask("files/a", fields)
            with pytest.raises(Truncated):
                await body_of(answer)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.bucket.reading == 0


async def test_a_list_is_of_now_where_nothing_else_is_said() -> None:
    async with mounted() as scene:
        await scene.put("now", DATA, NOW_S)
        await scene.put("later", DATA, NOW_S + 1)
        assert await scene.listed() == ["now"]
        assert await scene.listed(query=f"?last_modified={date(NOW_S + 1)}") == ["later", "now"]
        assert await scene.listed(query="?last_modified=") == ["now"]
