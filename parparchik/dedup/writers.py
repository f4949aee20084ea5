"""One writer per path at a time; different paths do not wait for each other, readers for nobody."""

from __future__ import annotations

from collections import deque

import trio

from parparchik.errors import Overloaded


class Writers:
    """`max_waiting` is for all paths together. `refused` counts who would have been more."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._lines: dict[str, deque[trio.Event]] = {}  # who waits, by path that is being written
        self.waiting = 0
        self.refused = 0

    def __len__(self) -> int:
        """Paths that are being written."""
        return len(self._lines)

    def writing(self, path: str) -> _Turn:
        """For `async with`; in the order in which they came. Entering it raises Overloaded."""
        return _Turn(self, path)

    def acquire_nowait(self, path: str) -> bool:
        """Whether it is the caller's turn, until `release`."""
        if path in self._lines:
            return False
        self._lines[path] = deque()
        return True

    async def acquire(self, path: str) -> None:
        """No checkpoint where nobody is at it."""
        if self.acquire_nowait(path):
            return
        line = self._lines[path]
        if self.waiting >= self._max_waiting:
            self.refused += 1
            raise Overloaded("too many writers are waiting for others of the same path")
        called = trio.Event()
        line.append(called)
        self.waiting += 1
        try:
            await called.wait()
        except trio.Cancelled:
            if called.is_set():  # in the same moment
                self.release(path)
            else:
                line.remove(called)
            raise
        finally:
            self.waiting -= 1

    def release(self, path: str) -> None:
        line = self._lines[path]
        if line:
            line.popleft().set()
        else:
            del self._lines[path]


class _Turn:
    """A class of its own: a generator would cost three times as much."""

    __slots__ = ("_path", "_writers")

    def __init__(self, writers: Writers, path: str) -> None:
        self._writers = writers
        self._path = path

    async def __aenter__(self) -> None:
        await self._writers.acquire(self._path)

    async def __aexit__(self, *_: object) -> None:
        self._writers.release(self._path)
