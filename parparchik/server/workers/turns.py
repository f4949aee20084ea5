"""Whose turn it is to accept: workers on one socket that share its connections evenly.

The kernel wakes whoever waits on the socket, and the first to run would take all that come at once,
for as long as they are kept open. So each worker writes the number of its connections where all see
it, and one that has more than another leaves what is new to that one. Not for long: a sibling
that does not come for it is busy or stuck.

The numbers are eight bytes each in memory that the parent has made and every worker has mapped.
Nothing is locked: what is read may be out of date, and then the share is less even.
"""

from __future__ import annotations

import mmap
import os
import socket
import time
from collections.abc import Callable
from typing import Any

HOLD_BACK_S = 0.002
SLACK = 1
"""So many more than the one with the fewest are still even."""

_ABSENT = -1
_BYTES = 8


class Turns:
    """The table of all workers; `descriptor` is inherited by them."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self._memory = mmap.mmap(descriptor, size * _BYTES)
        self._counts = memoryview(self._memory).cast("q")

    @classmethod
    def create(cls, size: int) -> Turns:
        """A table of which nobody is present yet."""
        descriptor = os.memfd_create("parparchik-turns")
        os.truncate(descriptor, size * _BYTES)
        turns = cls(descriptor, size)
        for place in range(size):
            turns.leave(place)
        return turns

    def leave(self, place: int) -> None:
        """Nobody is to wait for this one."""
        self._counts[place] = _ABSENT

    def at(self, place: int, now: Callable[[], float] = time.monotonic) -> Turn:
        return Turn(self._counts, place, now)


class Turn:
    """One worker's place at the table."""

    def __init__(self, counts: memoryview[int], place: int, now: Callable[[], float]) -> None:
        self._counts = counts
        self._place = place
        self._now = now
        self._held_since_s: float | None = None

    def __call__(self, count: int) -> bool:
        """Whether to accept one more, having `count` connections."""
        self._counts[self._place] = count
        fewest = min(each for each in self._counts if each != _ABSENT)
        if count > fewest + SLACK:
            now_s = self._now()
            if self._held_since_s is None:
                self._held_since_s = now_s
            if now_s - self._held_since_s < HOLD_BACK_S:
                return False
        self._held_since_s = None
        return True


class SharedListener(socket.socket):
    """A listening socket of several processes, which has nothing to accept for one whose turn it is
    not. `open_connections` says how many this one has."""

    def __init__(self, descriptor: int, turn: Turn, open_connections: Callable[[], int]) -> None:
        super().__init__(fileno=descriptor)
        self._turn = turn
        self._open_connections = open_connections
        self._takes_all = False

    def take_all(self) -> None:
        """From now on it is always its turn: nobody else may come for what is in the queue."""
        self._takes_all = True

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises BlockingIOError where there is nothing to accept now."""
        if not (self._takes_all or self._turn(self._open_connections())):
            raise BlockingIOError("another process has fewer connections")
        return super().accept()
