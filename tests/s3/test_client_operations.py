"""GET, PUT and listing: what is sent, and what the answers become."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from parparchik.errors import (
    BadTarget,
    Denied,
    NotSupported,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
)
from parparchik.s3 import S3Client
from parparchik.s3 import bucket as bucket_module
from tests.s3.fake_s3 import OBJECT, QUICK, answer, error, open_bucket
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
<NextContinuationToken>a+/=</NextContinuationToken><Contents><Key>a%2Fb+c</Key><Size>3</Size>
<LastModified>2026-05-05T10:00:00.000Z</LastModified><ETag>"0123"</ETag></Contents>
</ListBucketResult>"""


class TestGet:
    async def test_object(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, OBJECT, b"x" * 200_000))
        )
        stored = await open_bucket(s3, server).get("a key/ü")
        assert stored is not None
        assert stored.data == b"x" * 200_000
        assert (stored.head.size_bytes, stored.head.etag) == (200_000, '"0123"')
        [seen] = server.requests
        assert (seen.method, seen.target) == ("GET", "/files/a%20key/%C3%BC")
        assert seen.headers["accept-encoding"] == "identity"

    async def test_absent(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 404, "NoSuchKey"))
        )
        assert await open_bucket(s3, server).get("k") is None

    async def test_denied(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 403, "AccessDenied"))
        )
        with pytest.raises(Denied):
            await open_bucket(s3, server).get("k")
        lenient = S3Client(replace(QUICK, denied_is_missing=True))
        assert await open_bucket(lenient, server).get("k") is None
        lenient.close()

    async def test_too_large(
        self, nursery: trio.Nursery, s3: S3Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bucket_module, "OBJECT_MAX_BYTES", 1000)
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, OBJECT, b"x" * 1001))
        )
        with pytest.raises(UpstreamError, match="1000"):
            await open_bucket(s3, server).get("k")

    async def test_cut_short_is_no_object(self, nursery: trio.Nursery, s3: S3Client) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(answer(200, OBJECT, b"half a manifest")[:-4])

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(Unavailable):
            await open_bucket(s3, server).get("k")
        assert len(server.requests) == 3

    @pytest.mark.parametrize("key", ["a/../b", "./a", "a/."])
    async def test_a_key_that_a_url_cannot_hold(
        self, nursery: trio.Nursery, s3: S3Client, key: str
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(200)))
        with pytest.raises(BadTarget):
            await open_bucket(s3, server).get(key)
        assert server.requests == []


class TestPut:
    @pytest.mark.parametrize("size", [0, 10, 3_000_000])
    async def test_object(self, nursery: trio.Nursery, s3: S3Client, size: int) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {"ETag": '"new"'}))
        )
        data = b"x" * size
        pieces = [data[: size // 2], data[size // 2 :]]
        etag = await open_bucket(s3, server).put("m.json", pieces, content_type="application/json")
        assert etag == '"new"'
        [seen] = server.requests
        assert (seen.method, seen.target, seen.body) == ("PUT", "/files/m.json", data)
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["content-length"] == str(size)
        assert seen.headers["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest()
        assert not {"if-match", "if-none-match", "transfer-encoding"} & seen.headers.keys()

    async def test_conditions_are_sent_as_given_and_signed(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(200)))
        bucket = open_bucket(s3, server)
        await bucket.put("k", [b""], content_type="text/plain", if_match="bare")
        await bucket.put("k", [b""], content_type="text/plain", if_none_match="*")
        first, second = server.requests
        assert first.headers["if-match"] == "bare"
        assert second.headers["if-none-match"] == "*"
        assert ";if-match;" in first.headers["authorization"]
        assert ";if-none-match;" in second.headers["authorization"]

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (412, "PreconditionFailed"),
            (412, ""),
            (409, "ConditionalRequestConflict"),
            (404, "NoSuchKey"),  # AWS, to If-Match where nothing is
        ],
    )
    async def test_condition_that_does_not_hold(
        self, nursery: trio.Nursery, s3: S3Client, status: int, code: str
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, status, code))
        )
        with pytest.raises(PreconditionFailed):
            await open_bucket(s3, server).put("k", [b"x"], content_type="a/b", if_match='"e"')
        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", [501, 400])
    async def test_server_without_conditions(
        self, nursery: trio.Nursery, s3: S3Client, status: int
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, status, "NotImplemented"))
        )
        with pytest.raises(NotSupported):
            await open_bucket(s3, server).put("k", [b"x"], content_type="a/b", if_match='"e"')
        assert len(server.requests) == 1

    async def test_own_first_try_counts_as_another_writer(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        """The first try took effect, but its answer got lost."""

        async def script(peer: Peer) -> None:
            seen = await peer.request()
            if peer.number > 0 and seen:
                await peer.send(error(seen, 412, "PreconditionFailed"))

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(PreconditionFailed):
            await open_bucket(s3, server).put("k", [b"x"], content_type="a/b", if_match='"e"')
        assert len(server.requests) == 2

    async def test_retry_sends_the_whole_body_again(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        def reply(seen: Seen) -> bytes:
            if len(server.requests) < 3:
                return error(seen, 503, "SlowDown", {"Retry-After": "0"})
            return answer(200, {"ETag": '"e"'})

        server: ScriptedServer = await nursery.start(serve, replying(reply))
        data = b"0123456789" * 20_000
        assert await open_bucket(s3, server).put("k", [data], content_type="a/b") == '"e"'
        assert [seen.body for seen in server.requests] == [data] * 3


class TestListing:
    async def test_page(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, PAGE))
        )
        page = await open_bucket(s3, server).list_page()
        assert [each.key for each in page.objects] == ["a/b c"]
        assert page.next_token == "a+/="
        [seen] = server.requests
        assert urlsplit(seen.target).path == "/files"
        assert dict(parse_qsl(urlsplit(seen.target).query)) == {
            "list-type": "2", "encoding-type": "url", "max-keys": "1000",
        }  # fmt: skip

    async def test_parameters_are_encoded_once(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, PAGE))
        )
        await open_bucket(s3, server).list_page(
            token="1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=+%2B",
            prefix="a b/ü&",
            start_after="+",
        )
        [seen] = server.requests
        query = urlsplit(seen.target).query
        assert (
            "continuation-token=1ueGcxLPRx1Tr%2FXYExHnhbYLgveDs2J%2Fwm36Hy4vbOwM%3D%2B%252B"
            in query
        )
        assert "prefix=a%20b%2F%C3%BC%26" in query
        assert "start-after=%2B" in query

    async def test_garbage_is_not_an_empty_bucket(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, b"<html></html>"))
        )
        with pytest.raises(UpstreamError):
            await open_bucket(s3, server).list_page()
