"""Present, absent, or not known: what HEADs and the reasons behind them come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trio

from parparchik.config import S3Config
from parparchik.errors import Denied, NoBucket, Unavailable, UpstreamError, WrongRegion
from parparchik.model import ObjectHead
from parparchik.s3 import Credentials, S3Client
from parparchik.s3.addressing import Origin
from tests.s3.fake_s3 import OBJECT, QUICK, answer, config_of, error, open_bucket
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve


def without(status: int, code: str) -> Callable[[Seen], bytes]:
    """A server that says so to everything."""
    return lambda seen: error(seen, status, code)


@contextmanager
def client_with(config: S3Config) -> Iterator[S3Client]:
    client = S3Client(config)
    try:
        yield client
    finally:
        client.close()


def methods(server: ScriptedServer) -> list[str]:
    return [seen.method for seen in server.requests]


async def test_present(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x" * 1234, to_head=True))
    )
    head = await open_bucket(s3, server).head("k")
    assert head == ObjectHead(1234, 1777975200, '"0123"')
    assert methods(server) == ["HEAD"]


async def test_absent(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(404, "NoSuchKey")))
    assert await open_bucket(s3, server).head("k") is None
    head, get = server.requests
    assert (get.method, get.target, get.headers["range"]) == ("GET", head.target, "bytes=0-0")


async def test_a_flood_of_misses_costs_one_get(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(404, "NoSuchKey")))
    bucket = open_bucket(s3, server)
    answers: list[ObjectHead | None] = []

    async def ask(key: str) -> None:
        answers.append(await bucket.head(key))

    for _ in range(2):
        async with trio.open_nursery() as asking:
            for number in range(50):
                asking.start_soon(ask, str(number))
    assert answers == [None] * 100
    assert methods(server).count("GET") == 1


async def test_a_missing_bucket_makes_no_key_absent(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(404, "NoSuchBucket")))
    bucket = open_bucket(s3, server, "misspelt")
    for key in ("a", "b"):
        with pytest.raises(NoBucket, match="misspelt"):
            await bucket.head(key)
    assert methods(server) == ["HEAD", "GET", "HEAD"]


async def test_a_404_that_is_not_s3s_is_no_absence(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve,
        replying(lambda seen: answer(404, {}, b"<html>", to_head=seen.method == "HEAD")),
    )
    with pytest.raises(UpstreamError, match="404"):
        await open_bucket(s3, server).head("k")


async def test_denied_is_not_absent(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(403, "AccessDenied")))
    with pytest.raises(Denied) as caught:
        await open_bucket(s3, server).head("k")
    assert "s3:ListBucket" in str(caught.value)
    assert "PARPARCHIK_DENIED_IS_MISSING" in str(caught.value)
    assert "1234" not in str(caught.value)


async def test_denied_is_absent_where_the_operator_says_so(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(403, "AccessDenied")))
    with client_with(replace(QUICK, denied_is_missing=True)) as s3:
        bucket = open_bucket(s3, server)
        assert [await bucket.head("a"), await bucket.head("b")] == [None, None]
    assert methods(server) == ["HEAD", "GET", "HEAD"]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("RequestTimeTooSkewed", "clock"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("", "s3:ListBucket"),
    ],
)
async def test_a_wrong_clock_or_secret_is_never_an_absence(
    nursery: trio.Nursery, code: str, hint: str
) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(403, code)))
    with client_with(replace(QUICK, denied_is_missing=True)) as s3:
        bucket = open_bucket(s3, server)
        for _ in range(2):
            with pytest.raises(Denied, match=hint):
                await bucket.head("k")


async def test_a_reason_is_not_believed_for_other_credentials(nursery: trio.Nursery) -> None:
    """Else a secret that goes bad would make everything absent for some seconds."""

    def reply(seen: Seen) -> bytes:
        good = "Credential=GOOD/" in seen.headers["authorization"]
        return error(seen, 403, "AccessDenied" if good else "SignatureDoesNotMatch")

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    keys = Credentials("GOOD", "s")
    with client_with(replace(QUICK, denied_is_missing=True)) as s3:
        bucket = s3.bucket(config_of(server), lambda: keys)
        assert await bucket.head("k") is None
        keys = Credentials("BAD", "s")
        with pytest.raises(Denied):
            await bucket.head("k")


async def test_an_object_that_appears_meanwhile_is_present(
    nursery: trio.Nursery, s3: S3Client
) -> None:
    def reply(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            first = len(server.requests) == 1
            return answer(404 if first else 200, OBJECT, b"x", to_head=True)
        return answer(206, OBJECT, b"x")

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    assert await open_bucket(s3, server).head("k") is not None
    assert methods(server) == ["HEAD", "GET", "HEAD"]


@pytest.mark.parametrize("status", [301, 307, 400])
@pytest.mark.parametrize("in_header", [True, False])
async def test_another_region_is_named(
    nursery: trio.Nursery, s3: S3Client, status: int, in_header: bool
) -> None:
    def reply(seen: Seen) -> bytes:
        headers = {"Location": "http://127.0.0.1:1/"} if status < 400 else {}
        if in_header:
            return error(seen, status, "", headers | {"x-amz-bucket-region": "ap-south-1"})
        code = "PermanentRedirect" if status < 400 else "AuthorizationHeaderMalformed"
        return error(seen, status, code, headers, "<Region>ap-south-1</Region>")

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    with pytest.raises(WrongRegion, match="AWS_REGION=ap-south-1") as caught:
        await open_bucket(s3, server).head("k")
    assert caught.value.region == "ap-south-1"


async def test_redirects_are_not_followed(nursery: trio.Nursery, s3: S3Client) -> None:
    elsewhere: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(200, OBJECT, b"x"))
    )
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(302, {"Location": f"{elsewhere.url}/x?secret"}))
    )
    bucket = open_bucket(s3, server)
    for operation in (bucket.head, bucket.get):
        with pytest.raises(UpstreamError, match="S3_ENDPOINT") as caught:
            await operation("k")
        assert elsewhere.url in str(caught.value)
        assert "secret" not in str(caught.value)
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [401, 402, 405, 410])
async def test_other_statuses_are_errors(nursery: trio.Nursery, s3: S3Client, status: int) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(without(status, "Odd")))
    with pytest.raises(UpstreamError, match=f"{status} Odd"):
        await open_bucket(s3, server).head("k")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_passes_is_tried_again(nursery: trio.Nursery, s3: S3Client, status: int) -> None:
    def reply(_: Seen) -> bytes:
        return answer(status if len(server.requests) < 3 else 200, OBJECT, b"x", to_head=True)

    server: ScriptedServer = await nursery.start(serve, replying(reply))
    bucket = open_bucket(s3, server)
    assert await bucket.head("k") is not None
    assert methods(server) == ["HEAD"] * 3
    assert bucket.statistics()[0].retries == 2


async def test_what_does_not_pass_is_unavailable(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: answer(503, {"Retry-After": "60"}))
    )
    with pytest.raises(Unavailable) as caught:
        await open_bucket(s3, server).head("k")
    assert caught.value.retry_after_s == 60
    assert methods(server) == ["HEAD"]  # 60 s lie beyond the end of our patience


async def test_nobody_there(s3: S3Client) -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        server = ScriptedServer(Origin("http", "127.0.0.1", unused.getsockname()[1]))
        with pytest.raises(Unavailable, match="refused"):
            await open_bucket(s3, server).head("k")


async def test_a_hung_server_is_unavailable_in_time(nursery: trio.Nursery) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    with (
        client_with(replace(QUICK, probe_timeout_s=0.2)) as s3,
        pytest.raises(Unavailable, match=r"0\.2 s"),
    ):
        await open_bucket(s3, server).head("k")


async def test_a_hung_connection_is_given_up_for_another(nursery: trio.Nursery) -> None:
    async def script(peer: Peer) -> None:
        if await peer.request() and peer.number > 0:
            await peer.send(answer(200, OBJECT, b"x", to_head=True))
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    with client_with(replace(QUICK, read_timeout_s=0.1)) as s3:
        assert await open_bucket(s3, server).head("k") is not None
    assert server.connections == 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": '"x"'}, {"Last-Modified": "yesterday"}],
)
async def test_a_200_that_is_not_s3s_is_no_presence(
    nursery: trio.Nursery, s3: S3Client, headers: dict[str, str]
) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(200, headers)))
    with pytest.raises(UpstreamError):
        await open_bucket(s3, server).head("k")


async def test_garbage_is_unavailable(nursery: trio.Nursery, s3: S3Client) -> None:
    server: ScriptedServer = await nursery.start(
        serve, replying(lambda _: b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    )
    with pytest.raises(Unavailable):
        await open_bucket(s3, server).head("k")
