"""Redis servers for one test, and what the tests of their faults share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.redis import RedisMetadata
from tests.dedup.metadata_scene import KEYS
from tests.dedup.redis_process import PATIENCE_S, RedisProcess

Started = Callable[..., RedisProcess]

# coredis forgets to close the buffers of a connection that came to nothing.
UNCLOSED = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


@asynccontextmanager
async def opened(server: RedisProcess, keys: Keys = KEYS) -> AsyncIterator[RedisMetadata]:
    async with RedisMetadata.open(server.url, "the place", keys) as metadata:
        yield metadata


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - another process
            await trio.sleep(0.02)
