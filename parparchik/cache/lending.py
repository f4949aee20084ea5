"""Downloads that stand open for one reader each, and how many of them may rest.

A connection to S3 that waits for a slow client is one that nobody else has. So where there are many
of them, those of readers that have not come back for a while are parted with; such a reader asks S3
for the rest when it comes.
"""

from __future__ import annotations

from typing import Protocol

import trio

from parparchik.cache.background import Background
from parparchik.errors import Unavailable

RESTING_S = 1.0
"""Who comes back sooner keeps what it has, lest a client that is as fast as its line costs a
request for each block."""


class Borrower(Protocol):
    def let_go(self) -> None:
        """Part with the download, and `give_back`."""
        ...


class Lending:
    """More than `limit` are open only while their readers read. `open` is how many there are."""

    __slots__ = ("_background", "_limit", "_resting", "_sweeps", "open")

    def __init__(self, limit: int, background: Background) -> None:
        self._limit = limit
        self._background = background
        self._resting: dict[Borrower, float] = {}  # since when; the longest first
        self._sweeps = False
        self.open = 0

    def lend(self, borrower: Borrower) -> None:
        self.open += 1
        self.rests(borrower)
        if self.open > self._limit and not self._sweeps:
            try:
                self._background.start(self._sweep)
            except Unavailable:
                return  # nothing runs any more, and nothing is opened
            self._sweeps = True

    def give_back(self, borrower: Borrower) -> None:
        self.open -= 1
        self.works(borrower)

    def rests(self, borrower: Borrower) -> None:
        self._resting[borrower] = trio.current_time()

    def works(self, borrower: Borrower) -> None:
        self._resting.pop(borrower, None)

    async def _sweep(self) -> None:
        try:
            while self.open > self._limit:
                await trio.sleep(RESTING_S)
                self._part()
        finally:
            self._sweeps = False

    def _part(self) -> None:
        before_s = trio.current_time() - RESTING_S
        for borrower, since_s in tuple(self._resting.items()):
            if self.open <= self._limit or since_s > before_s:
                return
            borrower.let_go()
