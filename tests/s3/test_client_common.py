"""What all operations have in common: errors, limits, connections, counting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from parparchik.errors import (
    Denied,
    NoBucket,
    Overloaded,
    Unavailable,
    UpstreamError,
    WrongRegion,
)
from parparchik.s3 import S3Bucket, S3Client
from tests.s3.fake_s3 import KEYS, OBJECT, QUICK, answer, config_of, error, open_bucket
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

Operation = Callable[[S3Bucket], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "get": lambda bucket: bucket.get("k"),
    "put": lambda bucket: bucket.put("k", [b"data"], content_type="text/plain"),
    "list": lambda bucket: bucket.list_page(),
}


@pytest.fixture(params=sorted(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


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
    assert not [secret for secret in ("1234", "SECRET", "AKID") if secret in str(caught.value)]


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
    s3 = S3Client(replace(QUICK, total_timeout_s=0.2))
    with pytest.raises(Unavailable, match=r"0\.2 s"):
        await operation(open_bucket(s3, server))
    s3.close()


async def test_all_connections_in_use_is_overload(
    nursery: trio.Nursery, operation: Operation
) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(200, OBJECT, b"x" * 1000, to_head=True))
        for byte in b"x" * 1000:
            await peer.send(bytes([byte]))
            await trio.sleep(0.001)

    server: ScriptedServer = await nursery.start(serve, drip)
    s3 = S3Client(replace(QUICK, max_connections=1, read_timeout_s=0.2))
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
        await s3.http.get(server.url)
    assert not [seen for seen in server.requests if "cookie" in seen.headers]


async def test_a_proxy_in_the_environment_is_not_asked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x"))
    )
    s3 = S3Client(QUICK)
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


async def test_run_closes_the_connections(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x"))
    )
    async with trio.open_nursery() as running:
        await running.start(s3.run)
        await open_bucket(s3, server).get("k")
        assert s3.statistics().pools[0][1].idle == 1
        running.cancel_scope.cancel()
    assert s3.statistics().pools[0][1].open == 0


async def test_urls_for_clients(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(200)))
    config = config_of(server, external_url="https://files.example.com:443")
    bucket = s3.bucket(config, lambda: KEYS)
    assert bucket.public_url("a b") == "https://files.example.com/files/a%20b"
    url = urlsplit(bucket.presign("HEAD", "a b", expires_s=60).url)
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
    assert 0 < got["get"].seconds < 60
    assert sum(got["put"].latency_counts) == 0
    [(origin, pool)] = statistics.pools
    assert origin == server.url
    assert (pool.open, pool.idle) == (1, 1)
