"""What an upload and a download cost, down to the sockets of S3's client: no more than 32 MiB,
however large they are."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bench.stand_in import BucketSpec
from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.dedup.compress import Bounds
from parparchik.dedup.put import Put, PutLimits
from parparchik.dedup.receive import NOTHING_EXPECTED, Expected
from parparchik.dedup.store import DedupStore
from parparchik.model import Bucket
from parparchik.s3 import Credentials, S3Client
from tests.bench.test_bench_stand_in import endpoint
from tests.dedup.bed import Bed, laid
from tests.dedup.fake_metadata import FakeMetadata

BLOCK = os.urandom(1 << 18)
BLOCKS = 400  # 100 MiB
SIZE = len(BLOCK) * BLOCKS
CEILING = 32 << 20


class Blocks:
    """A body that is made as it is read: content that does not get smaller, in gzip or plain."""

    def __init__(self, *, gzip: bool) -> None:
        self.size_bytes = None
        self._left = BLOCKS
        self._deflate = zlib.compressobj(0, zlib.DEFLATED, 31) if gzip else None

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._left < 0:
            return b""
        self._left -= 1
        last = self._left < 0
        if self._deflate is None:
            return b"" if last else BLOCK
        return self._deflate.flush() if last else self._deflate.compress(BLOCK)


def announced() -> Expected:
    sha256 = hashlib.sha256()
    for _ in range(BLOCKS):
        sha256.update(BLOCK)
    return Expected(sha256.hexdigest(), SIZE)


@asynccontextmanager
async def store(limits: PutLimits) -> AsyncIterator[DedupStore]:
    """On the real client of S3, which talks to a server that keeps nothing."""
    async with endpoint(BucketSpec("bench", sink=True)) as port:
        client = S3Client(S3Config(retries=0))
        where = Endpoint(region="us-east-1", url=f"http://127.0.0.1:{port}")
        config = BucketConfig(Bucket("bench"), where)
        try:
            bucket = client.objects(config, lambda: Credentials("anybody", "anything"))
            yield DedupStore(FakeMetadata(), bucket, limits)
        finally:
            client.close()


@pytest.mark.parametrize("way", ["straight", "spooled", "compressed"])
async def test_a_large_upload(way: str) -> None:
    expected = announced() if way == "straight" else NOTHING_EXPECTED
    is_gzip = way != "compressed"
    async with store(PutLimits(Bounds(max_ratio=2000), level=0)) as dedup:
        upload = Blocks(gzip=is_gzip)
        tracemalloc.start()
        try:
            await dedup.put(Put("a", 1, upload, gzip=is_gzip, expected=expected))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        counters = dedup.statistics().counters
        assert counters.straight == (way == "straight")
        assert counters.uploaded_bytes > SIZE
        assert peak < CEILING


async def test_a_large_download() -> None:
    """From memory: what FakeBytes has does not count, what is made of it does."""

    async def read(bed: Bed, *, gzip: bool) -> int:
        opened = await bed.store.open("a", gzip=gzip)
        assert opened is not None
        read_bytes = 0
        while (block := await opened.content.read()) is not None:
            read_bytes += len(block)
        opened.content.close()
        assert read_bytes == opened.size_bytes
        return read_bytes

    async with laid(limits=PutLimits(level=1)) as bed:
        await bed.put("a", bytes(64 << 20))
        tracemalloc.start()
        try:
            assert await read(bed, gzip=False) == 64 << 20
            await read(bed, gzip=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20
