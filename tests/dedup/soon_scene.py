"""PUTs without a task, whose steps wait until the test has them done, or has them fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import outcome
import trio

from parparchik.content import Storing
from parparchik.dedup.put import Put
from parparchik.dedup.types import Blob, Sight, Written
from parparchik.model import Unfinished
from tests.dedup.bed import Bed, laid, packed
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import FakeBytes, FakeUpload

PATIENCE_S = 60


@dataclass
class Step:
    """`look`, `store` or `put` that was asked for, of which nothing was done yet."""

    name: str
    work: Callable[[], Awaitable[Any]]
    then: Callable[[outcome.Outcome[Any]], None]

    async def done(self) -> None:
        """It is, and told."""
        self.then(await outcome.acapture(self.work))

    async def done_but_fails(self, error: Exception) -> None:
        await self.work()
        self.fails(error)

    def fails(self, error: Exception) -> None:
        """Nothing was done. Of S3 it is told in the task that goes on."""
        self.then(outcome.Error(error))


class Steps:
    """Those that wait. What is `refused` does not begin."""

    def __init__(self) -> None:
        self.waiting: list[Step] = []
        self.refused: set[str] = set()

    def begin(self, step: Step) -> bool:
        if step.name in self.refused:
            return False
        self.waiting.append(step)
        return True

    def next(self, name: str) -> Step:
        step = self.waiting.pop(0)
        assert step.name == name
        return step


class HandMetadata(FakeMetadata):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def look_soon(
        self,
        path: str,
        digest: str,
        *,
        now_s: float,
        then: Callable[[outcome.Outcome[Sight]], None],
    ) -> bool:
        return self.steps.begin(Step("look", partial(self.look, path, digest, now_s=now_s), then))

    def put_soon(
        self,
        path: str,
        version_s: int,
        blob: Blob,
        *,
        now_s: float,
        then: Callable[[outcome.Outcome[Written]], None],
    ) -> bool:
        work = partial(self.put, path, version_s, blob, None, now_s=now_s)
        return self.steps.begin(Step("put", work, then))


class Slow(Exception):
    """S3 has not answered yet: the task that goes on has its answer."""


class HandBytes(FakeBytes):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def store_soon(
        self, key: str, data: bytes, storing: Storing, then: Callable[[str | Unfinished[str]], None]
    ) -> bool:
        def tell(came: outcome.Outcome[str]) -> None:
            async def finish() -> str:
                if isinstance(came, outcome.Error) and isinstance(came.error, Slow):
                    return await work()
                return came.unwrap()

            then(Unfinished(finish) if isinstance(came, outcome.Error) else came.unwrap())

        work = partial(self.store, key, FakeUpload(data, size_bytes=len(data)), storing)
        return self.steps.begin(Step("store", work, tell))


@dataclass
class Told:
    """What the client's side was told of one PUT."""

    came: list[Written | Unfinished[Written]] = field(default_factory=list)

    @property
    def only(self) -> Written | Unfinished[Written]:
        """It has been told, and once."""
        (only,) = self.came
        return only

    async def finish(self) -> Written:
        only = self.only
        assert isinstance(only, Unfinished)
        return await only.finish()


@dataclass
class Scene:
    bed: Bed
    steps: Steps
    metadata: HandMetadata
    bucket: HandBytes

    def begin(self, path: str, data: bytes, version_s: int = 5, *, gzip: bool = False) -> Told:
        told = Told()
        body = packed(data) if gzip else data
        put = self.put_of(path, body, version_s, gzip=gzip)
        assert self.bed.store.put_soon(put, body, told.came.append)
        assert told.came == [], "never before it returns"
        return told

    def put_of(self, path: str, body: bytes, version_s: int = 5, *, gzip: bool = False) -> Put:
        return Put(path, version_s, FakeUpload(body, size_bytes=len(body)), gzip=gzip)

    async def put(self, path: str, data: bytes, version_s: int = 5) -> Written:
        """All steps go well, and nothing keeps the first from being taken."""
        told = self.begin(path, data, version_s)
        while not told.came:
            assert len(self.steps.waiting) == 1
            await self.steps.waiting.pop().done()
        only = told.only
        assert isinstance(only, Written)
        return only

    def is_at_rest(self) -> bool:
        """Nobody is being taken, holds memory, or waits for a step."""
        now = self.bed.store.statistics()
        holds = (now.receiving, now.waiting_writers, now.spooled_memory_bytes)
        return holds == (0, 0, 0) and not self.steps.waiting


@asynccontextmanager
async def by_hand() -> AsyncIterator[Scene]:
    """Only for `async with` in the test itself, for it yields in a nursery."""
    steps = Steps()
    metadata, bucket = HandMetadata(steps), HandBytes(steps)
    with trio.fail_after(PATIENCE_S):
        async with laid(metadata, bucket) as bed:
            yield Scene(bed, steps, metadata, bucket)
