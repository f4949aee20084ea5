"""GET, PUT and listing: what is sent, and what the answers become."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from parparchik.errors import (
    BadTarget,
    Denied,
    NoBucket,
    NotSupported,
    Overloaded,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
    WrongRegion,
)
from parparchik.s3 import S3Bucket, S3Client
from parparchik.s3 import bucket as bucket_module
from tests.s3.fake_s3 import KEYS, OBJECT, answer, config_of, error, open_bucket, quick
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
<NextContinuationToken>a+/=</NextContinuationToken><Contents><Key>a%2Fb+c</Key><Size>3</Size>
<LastModified>2026-05-05T10:00:00.000Z</LastModified><ETag>"0123"</ETag></Contents>
</ListBucketResult>"""

Operation = Callable[[S3Bucket], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "get": lambda bucket: bucket.get("k"),
    "put": lambda bucket: bucket.put("k", [b"data"], content_type="text/plain"),
    "list": lambda bucket: bucket.list_page(),
}


@pytest.fixture(params=sorted(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


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


@pytest.mark.parametrize(
    ("status", "code", "raised", "tries"),
    [
        (404, "NoSuchBucket", NoBucket, 1),
        (403, "AccessDenied", Denied, 1),
        (403, "RequestTimeTooSkewed", Denied, 1),
        (400, "ExpiredToken", Denied, 1),
        (301, "PermanentRedirect", WrongRegion, 1),
        (400, "RequestTimeout", Unavailable, 3),
        (409, "OperationAborted", Unavailable, 3),
        (429, "TooManyRequests", Unavailable, 3),
        (500, "InternalError", Unavailable, 3),
        (503, "SlowDown", Unavailable, 3),
        (400, "InvalidRequest", UpstreamError, 1),
    ],
)
async def test_errors(
    nursery: trio.Nursery, s3: S3Client, operation: Operation,
    status: int, code: str, raised: type[UpstreamError], tries: int,
) -> None:  # fmt: skip
    def reply(seen: Seen) -> bytes:
        headers = {"x-amz-bucket-region": "ap-south-1"} if status == 301 else {"Retry-After": "0"}
        return error(seen, status, code, headers)

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    with pytest.raises(UpstreamError) as caught:
        await operation(open_bucket(s3, server))
    assert type(caught.value) is raised or isinstance(caught.value, Unavailable) is (tries > 1)
    assert isinstance(caught.value, raised)
    assert len(server.requests) == tries
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "permission"),
    [("get", "s3:GetObject"), ("put", "s3:PutObject"), ("list", "s3:ListBucket")],
)
async def test_what_is_denied_names_what_to_grant(
    nursery: trio.Nursery, s3: S3Client, name: str, permission: str
) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda seen: error(seen, 403, "AccessDenied"))
    )
    with pytest.raises(Denied, match=permission):
        await OPERATIONS[name](open_bucket(s3, server))


async def test_a_hung_server_is_unavailable_in_time(
    nursery: trio.Nursery, operation: Operation
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    s3 = S3Client(quick(total_timeout_s=0.2))
    with pytest.raises(Unavailable, match=r"0\.2 s"):
        await operation(open_bucket(s3, server))
    s3.close()


async def test_all_connections_in_use_is_overload(
    nursery: trio.Nursery, operation: Operation
) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        for byte in answer(200, OBJECT, b"x" * 1000):
            await peer.send(bytes([byte]))
            await trio.sleep(0.001)

    server: ScriptedServer = await nursery.start(serve, drip)
    s3 = S3Client(quick(max_connections=1, read_timeout_s=0.2))
    bucket = open_bucket(s3, server)
    async with trio.open_nursery() as requests:
        requests.start_soon(bucket.get, "k")
        await trio.sleep(0.05)
        with pytest.raises(Overloaded):
            await operation(bucket)
        requests.cancel_scope.cancel()
    s3.close()


async def test_a_cookie_is_not_kept(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, {**OBJECT, "Set-Cookie": "server=7"}, b"x"))
    )
    bucket = open_bucket(s3, server)
    for _ in range(2):
        await bucket.get("k")
    assert "cookie" not in server.requests[1].headers


async def test_a_proxy_in_the_environment_is_not_asked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x"))
    )
    s3 = S3Client(quick())
    assert await open_bucket(s3, server).get("k") is not None
    s3.close()


async def test_buckets_of_one_endpoint_share_connections(
    nursery: trio.Nursery, s3: S3Client
) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x"))
    )
    for name in ("one", "two"):
        await open_bucket(s3, server, name).get("k")
    assert server.connections == 1


async def test_urls_for_clients(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(200)))
    config = config_of(server, external_url="https://files.example.com:443")
    bucket = s3.bucket(config, lambda: KEYS)
    assert bucket.public_url("a b") == "https://files.example.com/files/a%20b"
    url = urlsplit(bucket.presign("HEAD", "a b", expires_s=60))
    assert (url.netloc, url.path) == ("files.example.com", "/files/a%20b")
    assert dict(parse_qsl(url.query))["X-Amz-Expires"] == "60"
    assert server.requests == []


async def test_statistics(nursery: trio.Nursery, s3: S3Client) -> None:
    def reply(seen: Seen) -> bytes:
        if seen.target.endswith("present"):
            return answer(200, OBJECT, b"x")
        return error(seen, *((404, "NoSuchKey") if "absent" in seen.target else (403, "No")))

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    bucket = open_bucket(s3, server)
    await bucket.get("present")
    await bucket.get("present")
    with trio.CancelScope() as scope:
        scope.cancel()
        await bucket.get("present")
    await bucket.get("absent")
    with pytest.raises(Denied):
        await bucket.get("denied")
    statistics = s3.statistics()
    got = {each.operation: each for each in statistics.operations}
    assert set(got) == {"head", "get", "put", "list"}
    assert dict(got["get"].outcomes) == {
        "ok": 2, "absent": 1, "denied": 1, "cancelled": 1,
        "conflict": 0, "unsupported": 0, "unavailable": 0, "error": 0,
    }  # fmt: skip
    assert sum(got["get"].latency_counts) == 5
    assert got["get"].seconds > 0
    assert sum(got["put"].latency_counts) == 0
    [(origin, pool)] = statistics.pools
    assert origin == server.url
    assert (pool.open, pool.idle) == (1, 1)
