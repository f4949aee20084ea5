"""What tests of sinks share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from parparchik.access import Observation

SEEN = Observation("GET", "/a?x=1", 200, "text/html; charset=utf-8", True, 12, "192.0.2.9")
PATIENCE_S = 10.0


class Runs(Protocol):
    @property
    def run(self) -> Callable[[], Awaitable[None]]: ...


@asynccontextmanager
async def running(sink: Runs) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        yield
        nursery.cancel_scope.cancel()
