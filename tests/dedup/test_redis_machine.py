"""Redis compared with the fake, as SQLite is: whatever is done to both, and by two at once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import trio
from hypothesis import settings
from hypothesis.stateful import invariant, rule

from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.types import Blob, File, Tombstone
from tests.dedup.metadata_ops import state
from tests.dedup.metadata_scene import KEYS
from tests.dedup.redis_process import shared_redis
from tests.dedup.test_metadata_machine import MetadataMachine, paths, versions

T = TypeVar("T")


class Elsewhere:
    """A Metadata that is open in a thread with a `trio.run` of its own: the machine has one for
    each of its steps."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ready = threading.Event()
        self.thread = threading.Thread(target=trio.run, args=(self.run,))
        self.thread.start()
        self.ready.wait()

    async def run(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.over = trio.Event()
        async with RedisMetadata.open(self.url, self.url, KEYS) as self.store:
            self.ready.set()
            await self.over.wait()

    async def close(self) -> None:
        self.token.run_sync_soon(self.over.set)
        await trio.to_thread.run_sync(self.thread.join)

    async def there(self, do: Callable[[], Awaitable[T]]) -> T:
        return await trio.to_thread.run_sync(
            partial(trio.from_thread.run, do, trio_token=self.token)
        )

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            return await self.there(partial(getattr(self.store, name), *args, **named))

        return call

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        async def pages() -> list[Sequence[File]]:
            return [page async for page in self.store.list(folder, until_s=until_s)]

        for page in await self.there(pages):
            yield page

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        async def pages() -> Sequence[Sequence[Blob]]:
            return [page async for page in self.store.blobs()]

        for page in await self.there(pages):
            yield page

    async def tombstones(self) -> AsyncIterator[Sequence[Tombstone]]:
        async def pages() -> Sequence[Sequence[Tombstone]]:
            return [page async for page in self.store.tombstones()]

        for page in await self.there(pages):
            yield page


class RedisMachine(MetadataMachine):
    store: Any
    other: Any

    async def open(self) -> None:
        server = shared_redis()
        server.ask("FLUSHALL")
        self.store = Elsewhere(server.url)
        self.other = Elsewhere(server.url)

    @rule(path=paths, version=versions)
    def crash(self, path: str, version: int) -> None:
        """Scripts are forgotten, which is all that a script leaves half done."""
        shared_redis().ask("SCRIPT", "FLUSH")

    @invariant()
    def the_same_is_seen(self) -> None:
        async def run() -> None:
            assert await state(self.store, self.name) == await state(self.fake, str)
            assert await self.other.integrity() == []

        trio.run(run)


def test_redis_does_what_the_fake_does() -> None:
    shared_redis()  # or skip
    TestRedis = RedisMachine.TestCase  # noqa: N806
    TestRedis.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
    TestRedis().runTest()
