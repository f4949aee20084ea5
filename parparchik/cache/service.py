"""The cache itself: what is asked of it, and what S3 is asked for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import trio

from parparchik.cache.asking import Asker
from parparchik.cache.background import Background
from parparchik.cache.counters import Counters
from parparchik.cache.fetch import Fetcher
from parparchik.cache.forgetting import Forgetter, Forgot
from parparchik.cache.found import Giver
from parparchik.cache.freshness import lifetime
from parparchik.cache.generation import Changed, Entry, Heard
from parparchik.cache.judge import Judge
from parparchik.cache.known import Known
from parparchik.cache.lending import Lending
from parparchik.cache.memory import Memory
from parparchik.cache.passing import Passed
from parparchik.cache.shelf import Shelf
from parparchik.cache.slots import Slots
from parparchik.cache.statistics import CacheStatistics, statistics
from parparchik.cache.tiers import Disk
from parparchik.cache.types import Absent, Coding, Found, Policy, Wanted
from parparchik.cache.variants import Variants
from parparchik.cache.workings import Workings
from parparchik.config.model import CacheConfig
from parparchik.content import ObjectBytes, ObjectName
from parparchik.errors import Unavailable, UpstreamError

ATTEMPTS = 8
"""Times that a request looks again because what it found has changed meanwhile."""

_ABSENT_MISS = Absent("MISS")


class ObjectCache:
    """Implements Cache. `sources` by the buckets' names; `now` is the wall clock.

    Without `run` it gives what it has, and raises Unavailable for the rest.
    """

    def __init__(
        self,
        config: CacheConfig,
        sources: Mapping[str, ObjectBytes],
        disk: Disk | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._counters = Counters()
        self._background = Background()
        self._slots = Slots(config.max_fills)
        self._memory = Memory(config.memory_bytes, config.negative_max, now)
        self._shelf = Shelf(config, self._memory, disk, self._background, self._counters)
        self._workings = workings = Workings(
            *(config, self._shelf, self._slots, self._background, self._counters),
            Lending(config.max_fills, self._background),
            now,
        )
        self._judge = Judge(config.max_object_bytes, self._shelf, now)
        self._fetcher = Fetcher(sources, workings)
        self._asker = Asker(self._fetcher, self._judge, workings)
        giver = Giver(self._shelf, self._counters, now)
        self._known = Known(self._fetcher, self._judge, self._asker, giver, workings)
        self._variants = Variants(giver, workings)
        self._forgetter = Forgetter(workings)
        self._entries = self._memory.entries  # looked into for every request
        self._purges = self._memory.purges
        self._touch = self._memory.touch

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What is on its way for others than one asker alone, until cancelled."""
        await self._background.run(task_status)

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        entry = self._entries.get(name)
        now_s = self._now()
        if entry is None or (self._purges and not entry.live):
            return self._known.absent(name, policy, now_s)
        found = entry.founds.get(id(policy))
        if found is None or not found.fresh_from_s < now_s < found.fresh_until_s:
            return self._known.at_once(entry, policy, now_s)
        piece = found.generation.pieces.get(0)
        if piece is not None:
            self._touch(piece)
        self._touch(entry)
        self._counters.hits += 1
        return found

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        known = self._known
        for _ in range(ATTEMPTS):
            absent = known.absent(name, policy, self._now())
            if absent is not None:
                return absent
            entry = known.entry(name)
            generation = entry.generation
            alone = self._judge.passes(entry, policy, wanted)
            if generation is not None and not alone:
                try:
                    status = await known.bring(entry, generation, policy, wanted)
                except Changed:
                    continue
                if status is not None and self._judge.is_at_hand(generation, wanted):
                    return known.kept(generation, policy, status)
            flight = None if alone else entry.flight
            leads = flight is None
            if flight is None:
                flight = self._asker.begin(entry, policy, wanted, alone=alone)
            try:
                heard = await flight.wait()
            except UpstreamError:
                if (
                    generation is None
                    or alone
                    or not self._judge.stands_in(generation, policy, wanted)
                ):
                    raise
                return known.kept(generation, policy, "STALE")
            found = self._given(entry, heard, policy, wanted, leads=leads)
            if found is not None:
                return found
        raise Unavailable(f"{name.key} changes faster than it can be read")

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        return await self._variants.find(found, coding, make)

    def variant_nowait(self, found: Found, coding: Coding) -> Found | Absent | None:
        return self._variants.find_nowait(found, coding)

    async def invalidate(self, *names: ObjectName) -> int:
        return (await self.forget(names)).objects

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        return (await self.forget((), [(bucket, prefix)])).objects

    async def forget(
        self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]] = ()
    ) -> Forgot:
        """Both at a time: these objects, and all whose key begins so, (bucket, prefix); for who
        has to know whether the disk has settled it. Never cancelled."""
        return await self._forgetter.forget(names, below)

    def statistics(self) -> CacheStatistics:
        return statistics(self._counters, self._memory, self._slots, self._background)

    def _given(
        self, entry: Entry, heard: Heard, policy: Policy, wanted: Wanted, *, leads: bool
    ) -> Found | Absent | None:
        """What S3 said, for one of those who waited for it; None where that was not asked for."""
        if heard.representation is None:
            self._known.count("MISS")
            return _ABSENT_MISS
        generation = heard.generation
        if generation is None:
            if not leads:
                return None
            self._known.count("BYPASS")
            fresh_for_s = lifetime(heard.representation, policy, self._now()).fresh_s
            return Passed(
                entry.name,
                heard.representation,
                heard.passage,
                self._fetcher.source(entry),
                fresh_for_s=fresh_for_s,
                workings=self._workings,
            )
        if not leads and self._judge.passes(entry, policy, wanted):
            return None
        if not self._judge.is_at_hand(generation, wanted):
            return None
        return self._known.kept(generation, policy, heard.status)
