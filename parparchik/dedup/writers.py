"""One writer per path at a time; different paths do not wait for each other, readers for nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from parparchik.errors import Overloaded


class Writers:
    """`max_waiting` is for all paths together. `refused` counts who would have been more."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._locks: dict[str, trio.Lock] = {}  # of paths that are being written
        self.waiting = 0
        self.refused = 0

    def __len__(self) -> int:
        """Paths that are being written."""
        return len(self._locks)

    @asynccontextmanager
    async def writing(self, path: str) -> AsyncIterator[None]:
        """In the order in which they came. Raises Overloaded."""
        lock = self._locks.setdefault(path, trio.Lock())
        try:
            await self._acquire(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            statistics = lock.statistics()
            if not statistics.locked and not statistics.tasks_waiting:
                self._locks.pop(path, None)

    async def _acquire(self, lock: trio.Lock) -> None:
        try:
            lock.acquire_nowait()
        except trio.WouldBlock:
            pass
        else:
            return
        if self.waiting >= self._max_waiting:
            self.refused += 1
            raise Overloaded("too many writers are waiting for others of the same path")
        self.waiting += 1
        try:
            await lock.acquire()
        finally:
            self.waiting -= 1
