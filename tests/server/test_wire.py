"""Stores for commands: in the configured order, able to sign, gone afterwards."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from parparchik.config.model import BucketConfig, Config, Endpoint, S3Config, StaticKeys
from parparchik.errors import ConfigError, NoCredentials
from parparchik.model import Bucket
from parparchik.server import open_stores

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "environment-secret"}
NO_INSTANCE = {"AWS_EC2_METADATA_DISABLED": "true"}


def config(*endpoints: Endpoint, s3: S3Config | None = None) -> Config:
    buckets = tuple(
        BucketConfig(Bucket(f"bucket-{number}"), endpoint)
        for number, endpoint in enumerate(endpoints)
    )
    return Config(buckets=buckets, s3=s3 or S3Config())


async def test_credentials_are_at_hand_when_the_stores_are() -> None:
    mine = Endpoint(url="http://127.0.0.1:1", keys=StaticKeys("AKIAMINE", "settings-secret"))
    theirs = Endpoint(url="http://127.0.0.1:2")
    async with open_stores(config(mine, theirs), KEYS) as stores:
        assert [store.bucket.name for store in stores] == ["bucket-0", "bucket-1"]
        urls = [store.presign("GET", "a b", expires_s=60).url for store in stores]
    assert urls[0].startswith("http://127.0.0.1:1/bucket-0/a%20b?")
    assert urls[1].startswith("http://127.0.0.1:2/bucket-1/a%20b?")
    assert ["AKIAMINE" in url for url in urls] == [True, False]
    assert ["AKIAEXAMPLE" in url for url in urls] == [False, True]


async def test_without_credentials_the_stores_open_and_say_so_when_signing() -> None:
    async with open_stores(config(Endpoint(url="http://127.0.0.1:1")), NO_INSTANCE) as (store,):
        assert store.public_url("k") == "http://127.0.0.1:1/bucket-0/k"
        with pytest.raises(NoCredentials):
            store.presign("GET", "k", expires_s=60)


async def test_requests_are_signed_and_connections_end_with_the_context(
    nursery: trio.Nursery,
) -> None:
    requests: list[bytes] = []
    closed = trio.Event()

    async def s3(stream: trio.SocketStream) -> None:
        requests.append(bytes(await stream.receive_some()))
        await stream.send_all(
            b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nETag: "e"\r\n'
            b"Last-Modified: Thu, 01 Jan 1970 00:00:09 GMT\r\n\r\n"
        )
        assert await stream.receive_some() == b""
        closed.set()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(partial(trio.serve_listeners, s3, listeners))
    port = listeners[0].socket.getsockname()[1]
    async with open_stores(config(Endpoint(url=f"http://127.0.0.1:{port}")), KEYS) as (store,):
        head = await store.head("k")
        assert head is not None
        assert head.size_bytes == 7
        assert not closed.is_set()
    with trio.fail_after(5):
        await closed.wait()
    assert requests[0].startswith(b"HEAD /bucket-0/k ")
    assert b"AKIAEXAMPLE" in requests[0]
    nursery.cancel_scope.cancel()


async def test_what_goes_wrong_inside_gets_out() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with open_stores(config(Endpoint(url="http://127.0.0.1:1")), KEYS):
            raise ConfigError("inside")
    assert caught.group_contains(ConfigError, match="inside")
