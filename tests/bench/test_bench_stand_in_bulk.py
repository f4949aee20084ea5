"""Large objects of the S3 stand-in, and what it takes and does not keep: asked by parparchik's own
client of objects, and by raw sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bench.stand_in import BucketSpec, key_of
from bench.stand_in.bulk import content_of
from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.content import Download, NotModified, Span, Storing
from parparchik.errors import OutOfRange, PreconditionFailed
from parparchik.model import Bucket
from parparchik.s3 import Credentials, S3Client, S3Objects
from tests.bench.test_bench_stand_in import endpoint

SIZE = 3_000_000  # more than a socket takes at once
LARGE = BucketSpec("bench", 3, object_bytes=SIZE)
SINK = BucketSpec("bench", sink=True)
PART_BYTES = 16 << 20
ETAG = '"generated"'


@asynccontextmanager
async def objects(spec: BucketSpec) -> AsyncIterator[S3Objects]:
    async with endpoint(spec) as port:
        client = S3Client(S3Config(retries=0))
        where = Endpoint(region="us-east-1", url=f"http://127.0.0.1:{port}")
        try:
            yield client.objects(
                BucketConfig(Bucket("bench"), where), lambda: Credentials("anybody", "anything")
            )
        finally:
            client.close()


async def read(download: Download | NotModified | None) -> bytes:
    assert download is not None
    assert not isinstance(download, NotModified)
    pieces = []
    while piece := await download.read():
        pieces.append(bytes(piece))
    await download.aclose()
    return b"".join(pieces)


class Zeros:
    """An Upload of so many of them."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes: int | None = size_bytes
        self._left = size_bytes

    async def read(self) -> bytes:
        piece = bytes(min(self._left, 100_000))
        self._left -= len(piece)
        await trio.lowlevel.checkpoint()
        return piece


async def test_an_object_comes_whole_and_in_parts() -> None:
    async with objects(LARGE) as store:
        for number in (0, 2):
            assert await read(await store.open(key_of(number))) == content_of(SIZE)
        part = await store.open(key_of(1), span=Span(1_000_000, 1_000_099))
        assert await read(part) == content_of(SIZE)[1_000_000:1_000_100]
        last = await store.open(key_of(1), span=Span(SIZE - 5, SIZE - 1))
        assert await read(last) == content_of(SIZE)[-5:]
        with pytest.raises(OutOfRange):
            await store.open(key_of(1), span=Span(SIZE, SIZE + 5))
        assert await store.open(key_of(3)) is None


async def test_it_knows_whether_an_object_is_the_one_that_is_meant() -> None:
    async with objects(LARGE) as store:
        found = await store.stat(key_of(0))
        assert found is not None
        assert (found.size_bytes, found.etag) == (SIZE, ETAG)
        assert isinstance(await store.open(key_of(0), if_none_match=ETAG), NotModified)
        assert await read(await store.open(key_of(0), if_match=ETAG)) == content_of(SIZE)
        with pytest.raises(PreconditionFailed):
            await store.open(key_of(0), if_match='"another"')


@pytest.mark.parametrize("size_bytes", [0, 5, SIZE, PART_BYTES, 2 * PART_BYTES + 7])
async def test_a_sink_keeps_the_size(size_bytes: int) -> None:
    async with objects(SINK) as store:
        assert await store.stat("some/key") is None
        await store.store("some/key", Zeros(size_bytes), Storing())
        found = await store.stat("some/key")
        assert found is not None
        assert found.size_bytes == size_bytes
        await store.delete("some/key")
        assert await store.stat("some/key") is None


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_what_a_sink_takes_may_come_in_any_pieces(size: int) -> None:
    put = b"PUT /bench/a HTTP/1.1\r\nContent-Length: 300\r\n\r\n" + b"x" * 300
    sent = put + put + b"HEAD /bench/a HTTP/1.1\r\n\r\n"
    async with endpoint(SINK) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        received = b""
        for start in range(0, len(sent), size):
            await stream.send_all(sent[start : start + size])
            await trio.lowlevel.checkpoint()
        while received.count(b"\r\n\r\n") < 3:
            received += await stream.receive_some()
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert b"Content-Length: 300\r\n" in received


async def test_a_sink_says_that_it_waits_for_a_body() -> None:
    async with endpoint(SINK) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(
            b"PUT /bench/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert await stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(b"abc")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
