"""Many clients of two processes, who leave whenever they like, an S3 that fails, and a cleaner that
spares nothing: what was acknowledged is there, and all that is listed can be read."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest
import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.receive import NOTHING_EXPECTED
from parparchik.dedup.types import Metadata
from parparchik.dedup.verify import Verifier
from parparchik.errors import Unavailable, UpstreamError
from tests.dedup.bed import DAY_S, Bed, hint, laid, limits_of
from tests.dedup.metadata_stores import STORES
from tests.fakes_bytes import BytesAsked, FakeBytes

pytestmark = pytest.mark.usefixtures("each_way")

CLIENTS = 40
TURNS = 6
PATHS = [f"p/{number}" for number in range(6)]
DELETED = [f"q/{number}" for number in range(12)]
CONTENTS = [b"shared %d " % number * 100 for number in range(12)]

_scope: ContextVar[trio.CancelScope | None] = ContextVar("_scope", default=None)


@asynccontextmanager
async def opened_twice(name: str, directory: Path) -> AsyncIterator[tuple[Metadata, Metadata]]:
    """As two processes have it."""
    async with STORES[name](directory, Keys()) as one:
        if name == "sqlite":
            async with STORES[name](directory, Keys()) as two:
                yield one, two
        else:
            yield one, one


class Crowd:
    """`versions` has what each version is of, `newest` the newest one that was acknowledged."""

    def __init__(self, seed: int, beds: tuple[Bed, Bed]) -> None:
        self.dice = random.Random(seed)
        self.beds = beds
        self.versions: dict[int, tuple[str, bytes]] = {}
        self.newest: dict[str, int] = {}

    async def at(self, point: str, asked: BytesAsked) -> None:
        for _ in range(self.dice.choice((0, 3, 30))):
            await trio.lowlevel.checkpoint()
        scope = _scope.get()
        if scope is not None and self.dice.random() < 0.1:
            scope.cancel()
        if scope is not None and self.dice.random() < 0.1:
            raise Unavailable("500")

    async def client(self, number: int) -> None:
        for turn in range(TURNS):
            version_s = 1 + turn * CLIENTS + number
            bed = self.dice.choice(self.beds)
            if self.dice.random() < 0.4:
                await bed.store.delete(self.dice.choice(DELETED), version_s)
            else:
                await self.put(bed, version_s)

    async def put(self, bed: Bed, version_s: int) -> None:
        path, data = self.dice.choice(PATHS + DELETED), self.dice.choice(CONTENTS)
        self.versions[version_s] = (path, data)
        expected = hint(data) if self.dice.random() < 0.3 else NOTHING_EXPECTED
        with trio.CancelScope() as scope:
            _scope.set(scope)
            try:
                await bed.put(
                    path, data, version_s, gzip=self.dice.random() < 0.5, expected=expected
                )
            except UpstreamError:
                pass
            else:
                if path in PATHS:
                    self.newest[path] = max(self.newest.get(path, 0), version_s)

    async def cleaner(self) -> None:
        while True:
            await self.beds[1].cleaner(grace_s=0).clean()
            await trio.lowlevel.checkpoint()

    async def read(self) -> None:
        """All that is listed, and what was acknowledged before at least."""
        bed = self.beds[0]
        before = dict(self.newest)
        found: dict[str, int] = {}
        async for page in bed.store.list("", until_s=10**9):
            for file in page:
                opened = await bed.store.open(file.path)
                if opened is None and file.path in DELETED:
                    continue
                assert opened is not None
                body = b""
                while (piece := await opened.content.read()) is not None:
                    body += bytes(piece)
                opened.content.close()
                assert len(body) == opened.size_bytes
                found[file.path] = opened.file.version_s
                path, data = self.versions[opened.file.version_s]
                assert path == file.path
                assert await bed.get(file.path) in (*CONTENTS, None)
                assert opened.file.blob.logical_bytes == len(data)
        for path, version_s in before.items():
            assert found[path] >= version_s


@pytest.mark.parametrize("memory_bytes", [1 << 20, 100, 10], ids=["in memory", "mixed", "large"])
@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("seed", range(3))
async def test_many(tmp_path: Path, name: str, memory_bytes: int, seed: int) -> None:
    bucket, limits = FakeBytes(), limits_of(memory_bytes)
    async with (
        opened_twice(name, tmp_path) as (one, two),
        laid(one, bucket, limits) as bed,
        laid(two, bucket, limits) as other,
    ):
        crowd = Crowd(seed, (bed, other))
        bucket.at = crowd.at
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.cleaner)
            async with trio.open_nursery() as clients:
                for number in range(CLIENTS):
                    clients.start_soon(crowd.client, number)
                for _ in range(5):
                    await crowd.read()
            nursery.cancel_scope.cancel()
        bucket.at = None
        await crowd.read()
        report = await Verifier(two, bucket).verify()
        assert (report.bad_blobs, report.failed, report.faults) == ((), 0, ())
        for days in (2, 4):
            other.late_s = days * DAY_S
            await other.cleaner().clean()
        totals = await two.totals()
        assert (totals.orphans, totals.garbage, totals.lost) == (0, 0, 0)
        assert len(bucket.objects) == totals.blobs
        stored = {blob.key: blob.stored_bytes async for page in two.blobs() for blob in page}
        assert stored == {key: len(found.data) for key, found in bucket.objects.items()}
        await crowd.read()
