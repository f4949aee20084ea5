"""How many requests to S3 there may be at a time, and how many may wait for one."""

from __future__ import annotations

from typing import Protocol

import trio

from parparchik.errors import Overloaded

MAX_WAITING = 4096


class Paused(Protocol):
    """Who has a slot and makes no use of it at the moment."""

    def ring(self) -> None:
        """Somebody waits for a slot."""
        ...


class Slots:
    """First come, first served. Whoever has a slot and waits for something else than S3 is in
    `paused`, and gives up when another needs the slot."""

    __slots__ = ("_free", "_limit", "paused", "waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = trio.Semaphore(limit, max_value=limit)
        self.waiting = 0
        self.paused: set[Paused] = set()

    @property
    def taken(self) -> int:
        return self._limit - self._free.value

    async def acquire(self) -> None:
        """Raises Overloaded where too many wait already."""
        if self._free.value:
            self._free.acquire_nowait()  # `acquire` would sleep for a moment all the same
            return
        if self.waiting >= MAX_WAITING:
            raise Overloaded(f"{self.waiting} requests wait for S3 already")
        self.waiting += 1
        for holder in tuple(self.paused):
            holder.ring()
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    def release(self) -> None:
        self._free.release()
