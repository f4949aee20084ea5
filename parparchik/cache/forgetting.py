"""What was changed at S3 is forgotten: at once, and for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
import trio

from parparchik.cache.purge import AT_ONCE, Purge
from parparchik.cache.workings import Workings
from parparchik.content import ObjectName
from parparchik.errors import Unavailable

SETTLE_LIMIT_S = 2.0
"""For the disk to write down what was forgotten: one that hangs must not have every write hang."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Forgot:
    """How many objects were known, as far as that is known; whether the disk has written down that
    what it has of them is not to be believed: else a crash may bring it back until it is stale."""

    objects: int
    settled: bool


class Forgetter:
    def __init__(self, workings: Workings) -> None:
        self._shelf = workings.shelf
        self._background = workings.background
        self._counters = workings.counters

    async def forget(
        self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]] = ()
    ) -> Forgot:
        """These objects, and all whose key begins so: (bucket, prefix)."""
        objects, settled = 0, False
        # The write has happened: it must not be for a cancellation to say whether it shows.
        with trio.CancelScope(shield=True):
            for name in names:
                objects += self._shelf.knows(name)
                self._shelf.forget(name)
            for bucket, prefix in below:
                objects += await self._forget_below(bucket, prefix)
            self._counters.invalidations += objects
            settled = await self._settle()
        return Forgot(objects, settled)

    async def _forget_below(self, bucket: str, prefix: str) -> int:
        memory, disk = self._shelf.memory, self._shelf.disk
        objects = await self._count_in_memory(Purge(bucket, prefix, memory.purges.age))
        purge = memory.purge(bucket, prefix)
        if disk is not None:
            objects += await disk.forget_prefix(bucket, prefix)
        try:
            self._background.start(memory.give_back, purge)
        except Unavailable:  # nothing runs that could wait for it
            await memory.give_back(purge)
        return objects

    async def _count_in_memory(self, purge: Purge) -> int:
        """How many are known there, and not on disk."""
        objects = 0
        for at, entry in enumerate(tuple(self._shelf.memory.entries.values())):
            if not at % AT_ONCE:
                await trio.lowlevel.checkpoint()
            if purge.covers(entry.name) and entry.live:
                known = entry.generation is not None or entry.passing is not None
                objects += known and self._shelf.record(entry.name, "") is None
        return objects

    async def _settle(self) -> bool:
        disk = self._shelf.disk
        if disk is None:
            await trio.lowlevel.checkpoint()
            return True
        with trio.move_on_after(SETTLE_LIMIT_S):
            return await disk.settle()
        log.warning("disk cache: too slow to write down what was forgotten")
        return False
