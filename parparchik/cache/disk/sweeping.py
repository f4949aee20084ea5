"""What purges have taken leaves the index, and the disk, a little at a time."""

from __future__ import annotations

from collections import deque

import trio

from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.purge import AT_ONCE, Purge


class Sweeper:
    """`names` is the lane that files are deleted by."""

    __slots__ = ("_begun", "_ended", "_ledger", "_names", "_purges")

    def __init__(self, ledger: Ledger, names: Lane) -> None:
        self._ledger = ledger
        self._names = names
        self._purges: deque[Purge] = deque()
        self._begun = trio.lowlevel.ParkingLot()
        self._ended = trio.lowlevel.ParkingLot()

    async def purge(self, bucket: str, prefix: str) -> int:
        """Forget all that begins so, at once; how many objects that was. A purge that is cancelled
        does not know."""
        index = self._ledger.index
        names = index.names()
        purge = index.purges.begin(bucket, prefix)
        objects = 0
        try:
            for at, name in enumerate(names):
                if not at % AT_ONCE:
                    await trio.lowlevel.checkpoint()
                objects += purge.covers(name) and index.was_taken_by(purge, name)
        finally:
            self._purges.append(purge)
            self._begun.unpark()
        return objects

    async def idle(self) -> None:
        """Returns when nothing that was purged is still to be removed."""
        while self._ledger.index.purges:
            await self._ended.park()

    async def run(self) -> None:
        while True:
            while not self._purges:
                await self._begun.park()
            purge = self._purges.popleft()
            await self._sweep(purge)
            self._ledger.index.purges.end(purge)
            self._ended.unpark_all()

    async def _sweep(self, purge: Purge) -> None:
        index = self._ledger.index
        names = index.names()
        for first in range(0, len(names), AT_ONCE):
            below = filter(purge.covers, names[first : first + AT_ONCE])
            pieces = [entry for name in below for entry in index.purged_pieces_of(name)]
            self._ledger.drop_all(pieces)
            # What is forgotten meanwhile, and is to be written down, must not queue behind it all.
            await self._names.flush()
