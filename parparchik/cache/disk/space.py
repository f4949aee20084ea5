"""The budget, and where it is. No I/O.

Every file's cost is at any time in exactly one of these:

    kept       in the index
    reserved   being saved
    unseen     found at start and not looked into yet
    held       removed, but still being read, or the disk would not let go of it
    leaving    to be deleted next

The first four never exceed the budget: what asks for room evicts first. A file is written only
once what is leaving is gone as far as it takes, so that the disk itself never holds more either.
Not counted are the folders (no more than 65,792, of a block each, and those that are empty are
removed at start) and what is written down of what was forgotten (a megabyte or so).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import trio

from parparchik.cache.disk.index import Index
from parparchik.cache.disk.removal import Removal


class Found(NamedTuple):
    """A file by its name and its size: nobody has looked into it yet."""

    name: str
    cost_bytes: int
    touched_s: float


class Space:
    __slots__ = (
        *("_changed", "_index", "budget_bytes", "files_max", "held_bytes", "leaving_bytes"),
        *("reserved_bytes", "reserved_files", "unseen", "unseen_bytes"),
    )

    def __init__(self, index: Index, budget_bytes: int, files_max: int) -> None:
        self.budget_bytes = budget_bytes
        self.files_max = files_max
        self.reserved_bytes = 0
        self.reserved_files = 0
        self.unseen: deque[Found] = deque()  # the most recently used first
        self.unseen_bytes = 0
        self.held_bytes = 0
        self.leaving_bytes = 0
        self._index = index
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def bytes(self) -> int:
        """All but what is leaving."""
        return self._index.cost_bytes + self.reserved_bytes + self.unseen_bytes + self.held_bytes

    def lacks(self, cost_bytes: int) -> bool:
        """Whether there is no room for one more file of that cost."""
        files = len(self._index) + len(self.unseen) + self.reserved_files
        return files >= self.files_max or self.bytes + cost_bytes > self.budget_bytes

    def reserve(self, cost_bytes: int) -> None:
        self.reserved_bytes += cost_bytes
        self.reserved_files += 1

    def release(self, cost_bytes: int) -> None:
        self.reserved_bytes -= cost_bytes
        self.reserved_files -= 1

    def place(self, removal: Removal) -> None:
        """Count a removed file where it belongs now: whenever that may have changed."""
        self._count(removal, -removal.cost_bytes)
        if removal.gone:
            removal.counted = "nowhere"
        else:
            removal.counted = "held" if removal.read or removal.stuck else "leaving"
        self._count(removal, removal.cost_bytes)
        self._changed.unpark_all()

    async def wait(self) -> None:
        """Returns when the disk has the room that was reserved: until then writing would exceed
        the budget."""
        while self.leaving_bytes and self.bytes + self.leaving_bytes > self.budget_bytes:
            await self._changed.park()

    def _count(self, removal: Removal, cost_bytes: int) -> None:
        if removal.counted == "held":
            self.held_bytes += cost_bytes
        elif removal.counted == "leaving":
            self.leaving_bytes += cost_bytes
