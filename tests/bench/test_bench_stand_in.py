"""The S3 stand-in, asked by parparchik's own S3 client and by raw sockets."""

from __future__ import annotations

import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trio.lowlevel

from bench.stand_in import MANIFEST_KEY, BucketSpec, StandIn, key_of
from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.errors import Denied, PreconditionFailed, UpstreamError
from parparchik.model import Bucket
from parparchik.registry.manifest import decode
from parparchik.s3 import Credentials, S3Bucket, S3Client

CREDENTIALS = Credentials("anybody", "anything")


@asynccontextmanager
async def endpoint(*specs: BucketSpec) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandIn(specs).serve, listener)
            yield listener.getsockname()[1]
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def bucket(spec: BucketSpec, name: str = "bench") -> AsyncIterator[S3Bucket]:
    async with endpoint(spec) as port:
        client = S3Client(S3Config(retries=0))
        where = Endpoint(region="us-east-1", url=f"http://127.0.0.1:{port}")
        try:
            yield client.bucket(BucketConfig(Bucket(name), where), lambda: CREDENTIALS)
        finally:
            client.close()


async def listed(store: S3Bucket, **given: str) -> tuple[list[str], int]:
    keys, pages, token = [], 0, None
    while pages == 0 or token is not None:
        page = await store.list_page(token=token, **given)
        keys += [item.key for item in page.objects]
        pages, token = pages + 1, page.next_token
    return keys, pages


async def test_generated_objects_are_there_and_nothing_else() -> None:
    async with bucket(BucketSpec("bench", 10, first=5, hidden=2, hidden_from=100)) as store:
        for number, there in ((4, False), (5, True), (14, True), (15, False), (101, True)):
            assert (await store.head(key_of(number)) is not None) is there
            assert (await store.head(key_of(number)) is not None) is there
        for odd in ("file-5", "file-٠٠٠٠٠٠٥", "file-00000005", "other"):
            assert await store.head(odd) is None
        found = await store.get(key_of(5))
        assert found is not None
        assert len(found.data) == found.head.size_bytes


async def test_listings_are_in_order_paged_and_without_the_hidden() -> None:
    async with bucket(BucketSpec("bench", 2500, hidden=10)) as store:
        await store.put("aa/ü +&<", [b"1"], content_type="text/plain")
        await store.put("zz", [b"22"], content_type="text/plain")
        keys, pages = await listed(store)
        assert keys == ["aa/ü +&<", *(key_of(n) for n in range(2500)), "zz"]
        assert pages == 3
        assert (await listed(store, start_after=key_of(2497)))[0] == [
            *(key_of(2498), key_of(2499)),
            "zz",
        ]
        assert (await listed(store, prefix="z"))[0] == ["zz"]


async def test_what_is_put_can_be_had_and_is_written_conditionally() -> None:
    async with bucket(BucketSpec("bench")) as store:
        body = bytes(range(256)) * 20_000  # more than a socket takes at once
        etag = await store.put("k", [body], content_type="text/plain", if_none_match="*")
        found = await store.get("k")
        assert found is not None
        assert found.data == body
        assert found.head.etag == etag
        with pytest.raises(PreconditionFailed):
            await store.put("k", [b""], content_type="text/plain", if_none_match="*")
        with pytest.raises(PreconditionFailed):
            await store.put("k", [b""], content_type="text/plain", if_match='"other"')
        assert await store.put("k", [b""], content_type="text/plain", if_match=etag) != etag


async def test_an_object_keeps_what_describes_it() -> None:
    described = {"content-encoding": "gzip", "x-amz-meta-sha256": "abc", "x-amz-other": "no"}
    async with endpoint(BucketSpec("bench")) as port, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/bench/ab/cd/file"
        put = await client.put(url, content=gzip.compress(b"hello"), headers=described)
        assert put.status_code == 200
        for method in ("GET", "HEAD"):
            found = await client.request(method, url)
            assert found.headers["content-encoding"] == "gzip"
            assert found.headers["x-amz-meta-sha256"] == "abc"
            assert "x-amz-other" not in found.headers
        assert (await client.get(url)).content == b"hello"
        await client.put(url, content=b"plain")
        assert "content-encoding" not in (await client.head(url)).headers


async def test_a_manifest_is_one_that_parparchik_reads() -> None:
    async with bucket(BucketSpec("bench", 3, first=7, manifest=True)) as store:
        found = await store.get(MANIFEST_KEY)
        assert found is not None
        rows = [row for piece in decode(found.data, Bucket("bench"), 0) for row in piece]
        assert [key for key, _ in rows] == [key_of(7), key_of(8), key_of(9)]


async def test_a_listing_can_be_refused() -> None:
    async with bucket(BucketSpec("bench", 3, may_list=False)) as store:
        with pytest.raises(Denied):
            await store.list_page()
        assert await store.head(key_of(1)) is not None


async def test_a_bucket_that_is_not_there_is_no_missing_key() -> None:
    async with bucket(BucketSpec("bench", 3), name="another") as store:
        with pytest.raises(UpstreamError):
            await store.head(key_of(1))


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_requests_may_come_in_any_pieces(size: int) -> None:
    requests: Sequence[bytes] = (
        b"PUT /bench/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /bench/a HTTP/1.1\r\n\r\n",
        b"HEAD /bench/file-0000000 HTTP/1.1\r\n\r\n",
        b"HEAD /bench/file-0000000 HTTP/1.1\r\n\r\n",
        b"DELETE /bench/a HTTP/1.1\r\n\r\n",
    )
    sent = b"".join(requests)
    async with endpoint(BucketSpec("bench", 1)) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            for start in range(0, len(sent), size):
                await stream.send_all(sent[start : start + size])
                await trio.lowlevel.checkpoint()
            received = b""
            while b"MethodNotAllowed</Code></Error>" not in received:
                received += await stream.receive_some()
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert b"\r\n\r\nabcHTTP/1.1 200" in received


async def test_what_is_no_request_ends_the_connection() -> None:
    async with (
        endpoint(BucketSpec("bench", 1)) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as stream,
    ):
        await stream.send_all(b"nonsense\r\n\r\n")
        received = b""
        while data := await stream.receive_some():
            received += data
    assert received.startswith(b"HTTP/1.1 400 ")
