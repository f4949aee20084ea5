"""A store on fakes, whose clock is the test's."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import trio

from parparchik.dedup.cleaner import Cleaner
from parparchik.dedup.cleaning import CleanPolicy
from parparchik.dedup.order import Operation
from parparchik.dedup.put import Put, PutLimits
from parparchik.dedup.receive import NOTHING_EXPECTED, Expected
from parparchik.dedup.spool import SpoolLimits
from parparchik.dedup.store import DedupStore
from parparchik.dedup.types import Metadata, Written
from parparchik.model import Content, Unfinished, Upload
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import NOW_S, FakeBytes, FakeUpload

GRACE_S = 3600.0
DAY_S = 86_400.0


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hint(data: bytes) -> Expected:
    return Expected(digest_of(data), len(data))


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def limits_of(memory_bytes: int, *, disk_budget_bytes: int = 1 << 30, **more: Any) -> PutLimits:
    """Uploads of more than `memory_bytes` count as large."""
    return PutLimits(
        spool=SpoolLimits(memory_bytes=memory_bytes, disk_budget_bytes=disk_budget_bytes), **more
    )


async def read_all(content: Content) -> bytes:
    try:
        data = b""
        while (block := await content.read()) is not None:
            assert isinstance(block, bytes)
            assert 0 < len(block) <= 1 << 20
            data += block
        return data
    finally:
        content.close()


async def put_soon(store: DedupStore, put: Put, body: bytes) -> Written:
    """Without a task, as far as that goes: as the edge has it done."""
    came: list[Written | Unfinished[Written]] = []
    told = trio.Event()

    def then(outcome: Written | Unfinished[Written]) -> None:
        came.append(outcome)
        told.set()

    if not store.put_soon(put, body, then):
        return await store.put(put)
    await told.wait()
    (outcome,) = came
    return await outcome.finish() if isinstance(outcome, Unfinished) else outcome


@dataclass
class Bed:
    """`late_s` is how much later it is than the trio clock says. `is_soon`: what is put goes
    without a task, where it can."""

    is_soon: ClassVar[bool] = False

    metadata: Metadata
    bucket: FakeBytes
    limits: PutLimits = field(default_factory=PutLimits)
    late_s: float = 0.0
    steps: list[tuple[Operation, str]] = field(default_factory=list)
    on_step: Callable[[Operation, str], None] | None = None

    def __post_init__(self) -> None:
        self.start_s = trio.current_time()
        self.store = DedupStore(
            self.metadata, self.bucket, self.limits, now=self.now, on_step=self.step
        )

    def now(self) -> float:
        now_s = NOW_S + self.late_s + trio.current_time() - self.start_s
        self.bucket.now_s = int(now_s)
        return now_s

    def step(self, operation: Operation, name: str) -> None:
        self.steps.append((operation, name))
        if self.on_step is not None:
            self.on_step(operation, name)

    def cleaner(self, *, owner: str = "me", grace_s: float = GRACE_S) -> Cleaner:
        policy = CleanPolicy(owner, grace_s=grace_s)
        return Cleaner(
            self.metadata, self.bucket, self.bucket, policy, now=self.now, on_step=self.step
        )

    async def put(
        self,
        path: str,
        data: bytes,
        version_s: int = 1,
        *,
        expected: Expected = NOTHING_EXPECTED,
        gzip: bool = False,
        upload: Upload | None = None,
        imported: bool = False,
    ) -> Written:
        body = packed(data) if gzip else data
        sent = upload or FakeUpload(body, size_bytes=len(body))
        put = Put(path, version_s, sent, gzip=gzip, expected=expected, imported=imported)
        whole = sent.whole if isinstance(sent, FakeUpload) else None
        if self.is_soon and whole is not None:
            return await put_soon(self.store, put, whole)
        return await self.store.put(put)

    async def get(self, path: str, *, gzip: bool = False) -> bytes | None:
        opened = await self.store.open(path, gzip=gzip)
        if opened is None:
            return None
        body = await read_all(opened.content)
        assert len(body) == opened.size_bytes
        return body

    def key(self, data: bytes) -> str:
        """Where this content is stored first."""
        digest = digest_of(data)
        return f"{digest[:2]}/{digest[2:4]}/{digest}"


@asynccontextmanager
async def laid(
    metadata: Metadata | None = None,
    bucket: FakeBytes | None = None,
    limits: PutLimits | None = None,
) -> AsyncIterator[Bed]:
    """Only for `async with` in the test itself, for it yields in a nursery."""
    bed = Bed(metadata or FakeMetadata(), bucket or FakeBytes(), limits or PutLimits())
    async with trio.open_nursery() as nursery:
        await nursery.start(bed.store.run)
        yield bed
        nursery.cancel_scope.cancel()
