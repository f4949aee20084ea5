"""Every implementation of Metadata, each opened anew and empty, for the suite that runs over all.

To have another one tested, add it to STORES: what it is given is a directory of its own and the
keys it has to use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from parparchik.dedup.keys import Keys
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import Metadata
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.redis_process import shared_redis

FILE_NAME = "metadata.db"
Opened = Callable[[Path, Keys], AbstractAsyncContextManager[Metadata]]


@asynccontextmanager
async def opened_fake(directory: Path, keys: Keys) -> AsyncIterator[Metadata]:
    yield FakeMetadata(keys)


@asynccontextmanager
async def opened_sqlite(directory: Path, keys: Keys) -> AsyncIterator[SqliteMetadata]:
    store = await SqliteMetadata.open(Database(directory / FILE_NAME), keys)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_redis(directory: Path, keys: Keys) -> AsyncIterator[RedisMetadata]:
    server = shared_redis()
    server.ask("FLUSHALL")
    async with RedisMetadata.open(server.url, server.url, keys) as store:
        yield store


STORES = MappingProxyType({"fake": opened_fake, "sqlite": opened_sqlite, "redis": opened_redis})
