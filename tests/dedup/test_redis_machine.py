"""Redis compared with the fake, as SQLite is: whatever is done to both, and by two at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio
from hypothesis import settings
from hypothesis.stateful import invariant, rule

from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.types import Blob, File
from tests.dedup.metadata_scene import KEYS
from tests.dedup.redis_process import shared_redis
from tests.dedup.test_metadata_machine import MetadataMachine, paths, state, versions


class Reopened:
    """A Metadata that is opened anew for each call, as the machine has a `trio.run` for each."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            async with RedisMetadata.open(self.url, self.url, KEYS) as store:
                return await getattr(store, name)(*args, **named)

        return call

    async def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        async with RedisMetadata.open(self.url, self.url, KEYS) as store:
            found = [page async for page in store.list(folder, until_s=until_s)]
        for page in found:
            yield page

    async def blobs(self) -> AsyncIterator[Sequence[Blob]]:
        async with RedisMetadata.open(self.url, self.url, KEYS) as store:
            found = [page async for page in store.blobs()]
        for page in found:
            yield page


class RedisMachine(MetadataMachine):
    async def open(self) -> None:
        server = shared_redis()
        server.ask("FLUSHALL")
        self.store = self.other = Reopened(server.url)  # type: ignore[assignment]

    async def close(self) -> None:
        """Nothing is open."""

    @rule(path=paths, version=versions)
    def crash(self, path: str, version: int) -> None:
        """Scripts are forgotten, which is all that a script leaves half done."""
        shared_redis().ask("SCRIPT", "FLUSH")

    @invariant()
    def the_same_is_seen(self) -> None:
        async def run() -> None:
            assert await state(self.store, self.name) == await state(self.fake, str)

        trio.run(run)


def test_redis_does_what_the_fake_does() -> None:
    shared_redis()  # or skip
    TestRedis = RedisMachine.TestCase  # noqa: N806
    TestRedis.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
    TestRedis().runTest()  # type: ignore[attr-defined]
