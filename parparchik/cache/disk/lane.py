"""Work for threads, done in the order in which it was asked for, as much in one go as has gathered.

What is decided on the event loop is then done on disk in the order of the decisions, and a hundred
small pieces of work cost one hop to a thread.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import structlog
import trio

log = structlog.get_logger(__name__)


class Work(Protocol):
    """`size_bytes` tells how long it takes, roughly; `do` runs in a thread, and `finish` on the
    event loop when it has, with what it raised."""

    @property
    def size_bytes(self) -> int: ...
    def do(self) -> None: ...
    def finish(self, error: Exception | None) -> None: ...


class Lane:
    """`width` tasks take from one queue; with one, everything happens in order."""

    __slots__ = ("_batch_bytes", "_idle", "_limiter", "_queue", "_width", "open")

    def __init__(self, width: int, batch_bytes: int) -> None:
        self.open = False
        self._width = width
        self._batch_bytes = batch_bytes
        self._queue: deque[Work] = deque()
        self._idle = trio.lowlevel.ParkingLot()
        self._limiter = trio.CapacityLimiter(width)

    def __len__(self) -> int:
        """How much waits."""
        return len(self._queue)

    def put(self, work: Work) -> None:
        self._queue.append(work)
        self._idle.unpark()

    async def flush(self) -> None:
        """Returns when what waits now is done."""
        mark = _Mark()
        self.put(mark)
        await mark.passed.wait()

    async def run(self) -> None:
        """Works until it is cancelled; what is in a thread then is still finished."""
        self.open = True
        async with trio.open_nursery() as nursery:
            for _ in range(self._width):
                nursery.start_soon(self._take)

    async def close(self, limit_s: float) -> None:
        """Do what still waits, as far as the time allows; the rest fails. `run` has ended."""
        with trio.move_on_after(limit_s, shield=True):
            while self._queue:
                await self._do(self._next())
        self.open = False
        while self._queue:  # somebody may wait for it
            self._queue.popleft().finish(TimeoutError("stopped"))

    async def _take(self) -> None:
        while True:
            while not self._queue:
                await self._idle.park()
            await self._do(self._next())

    def _next(self) -> list[Work]:
        """A fair share of what waits: other tasks are to have some of it."""
        room = self._batch_bytes
        share = math.ceil(len(self._queue) / self._width)
        batch = [self._queue.popleft()]
        while self._queue and len(batch) < share:
            room -= batch[-1].size_bytes
            if self._queue[0].size_bytes > room:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _do(self, batch: list[Work]) -> None:
        try:
            errors = await trio.to_thread.run_sync(_do_all, batch, limiter=self._limiter)
        except trio.Cancelled:  # before the thread began
            self._queue.extendleft(reversed(batch))
            raise
        for work, error in zip(batch, errors, strict=True):
            work.finish(error)


class _Mark:
    """No work at all."""

    __slots__ = ("passed", "size_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        self.passed = trio.Event()

    def do(self) -> None:
        """It is enough to be in the line."""

    def finish(self, error: Exception | None) -> None:
        self.passed.set()


def _do_all(batch: list[Work]) -> list[Exception | None]:
    return [_do_one(work) for work in batch]


def _do_one(work: Work) -> Exception | None:
    try:
        work.do()
    except OSError as error:
        return error
    except Exception as error:
        log.exception("disk cache: work failed", work=type(work).__name__)
        return error
    return None
