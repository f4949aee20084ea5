"""The cache itself: what is known, what must be asked, and what is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import trio

from parparchik.cache.asking import Asker
from parparchik.cache.background import Background
from parparchik.cache.counters import Counters
from parparchik.cache.fetch import Fetcher
from parparchik.cache.found import Giver, Kept
from parparchik.cache.freshness import lifetime
from parparchik.cache.generation import Changed, Entry, Generation, Heard
from parparchik.cache.judge import Judge, may_be_stale
from parparchik.cache.memory import Memory
from parparchik.cache.passing import Passed
from parparchik.cache.shelf import Shelf
from parparchik.cache.slots import Slots
from parparchik.cache.statistics import CacheStatistics, statistics
from parparchik.cache.tiers import Disk
from parparchik.cache.types import Absent, Coding, Found, Policy, Status, Wanted
from parparchik.cache.variants import Variants
from parparchik.cache.workings import Workings
from parparchik.config.model import CacheConfig
from parparchik.content import ObjectBytes, ObjectName, Span
from parparchik.errors import Unavailable, UpstreamError

ATTEMPTS = 8
"""Times that a request looks again because what it found has changed meanwhile."""
AGAIN_S = 1.0
"""An object that S3 could not tell anything of is asked about again after this, while what is known
of it is served."""
POLICIES_MAX = 8
"""Policies, of different mounts, under which an object's answer is remembered."""

Warmed = Literal["fetched", "held", "absent", "passed"]

_ABSENT_HIT = Absent("HIT")
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
        self._sources = sources
        self._now = now
        self._counters = Counters()
        self._background = Background()
        self._slots = Slots(config.max_fills)
        self._memory = Memory(config.memory_bytes, config.negative_max)
        self._shelf = Shelf(config, self._memory, disk, self._background, self._counters)
        self._workings = workings = Workings(
            config, self._shelf, self._slots, self._background, self._counters, now
        )
        self._judge = Judge(config.max_object_bytes, self._shelf, now)
        self._fetcher = Fetcher(sources, workings)
        self._asker = Asker(self._fetcher, self._judge, workings)
        self._giver = Giver(self._shelf, self._counters, now)
        self._variants = Variants(self._giver, workings)
        self._entries = self._memory.entries  # looked into for every request
        self._touch = self._memory.touch

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What is on its way for others than one asker alone, until cancelled."""
        await self._background.run(task_status)

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        entry = self._entries.get(name)
        now_s = self._now()
        if entry is None:
            return self._absent(name, policy, now_s)
        found = entry.founds.get(id(policy))
        if found is None or now_s >= found.fresh_until_s:
            return self._known(entry, policy, now_s)
        piece = found.generation.pieces.get(0)
        if piece is not None:
            self._touch(piece)
        self._touch(entry)
        self._counters.hits += 1
        return found

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        for _ in range(ATTEMPTS):
            absent = self._absent(name, policy, self._now())
            if absent is not None:
                return absent
            entry = self._entry(name)
            generation = entry.generation
            alone = self._judge.passes(entry, policy, wanted)
            if generation is not None and not alone:
                try:
                    status = await self._use(entry, generation, policy, wanted)
                except Changed:
                    continue
                if status is not None and self._judge.is_at_hand(generation, wanted):
                    return self._kept(generation, policy, status)
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
                return self._kept(generation, policy, "STALE")
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

    async def invalidate(self, *names: ObjectName) -> None:
        # The write has happened: it must not be for a cancellation to say whether it shows.
        await trio.lowlevel.cancel_shielded_checkpoint()
        for name in names:
            self._shelf.forget(name)
        self._counters.invalidations += len(names)

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return self.purge_prefix(bucket, prefix)

    def purge(self, name: ObjectName) -> bool:
        """Forget an object; whether anything was known of it."""
        known = self._is_known(name)
        self._shelf.forget(name)
        self._counters.invalidations += known
        return known

    def purge_prefix(self, bucket: str, prefix: str) -> int:
        """Forget every object whose key begins with `prefix` ('': all); how many were known."""
        names = set(self._memory.names(bucket, prefix))
        disk = self._shelf.disk
        purged = sum(self._is_known(name) and not self._is_on_disk(name) for name in names)
        if disk is not None:
            purged += disk.forget_prefix(bucket, prefix)
        for name in names:
            self._memory.forget(name)
        self._counters.invalidations += purged
        return purged

    def purge_all(self) -> int:
        return sum(self.purge_prefix(bucket, "") for bucket in self._buckets())

    async def warm(self, name: ObjectName, policy: Policy) -> Warmed:
        """Have all of an object in the cache. Raises UpstreamError."""
        found = await self.find(name, policy, "whole")
        if isinstance(found, Absent):
            return "absent"
        if not isinstance(found, Kept):
            found.content(Span(0, found.representation.size_bytes - 1)).close()
            return "passed"
        if found.status != "MISS":
            missing = self._judge.first_missing(found.generation, "whole")
            if missing is None:
                return "held"
        content = found.content(Span(0, found.representation.size_bytes - 1))
        try:
            while await content.read() is not None:
                await trio.lowlevel.checkpoint()
        finally:
            content.close()
        return "fetched"

    def statistics(self) -> CacheStatistics:
        return statistics(self._counters, self._memory, self._slots, self._background)

    def _entry(self, name: ObjectName) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry(name)
            record = self._shelf.record(name, "")
            if record is not None:
                if record.confirmed_at_s > self._now():  # the clock was wrong, then or now
                    record = replace(record, confirmed_at_s=0.0)
                entry.generation = Generation(entry, record, self._fetcher)
                self._memory.charge(entry)
        return entry

    def _absent(self, name: ObjectName, policy: Policy, now_s: float) -> Absent | None:
        since_s = self._memory.absent_since(name)
        if since_s is None or now_s - since_s >= policy.negative_ttl_s:
            return None
        self._counters.negative_hits += 1
        return _ABSENT_HIT

    def _known(self, entry: Entry, policy: Policy, now_s: float) -> Kept | None:
        """What can be given of an entry without asking, and is given again while that is so."""
        generation = entry.generation
        if generation is None or self._judge.passes(entry, policy, "head"):
            return None
        if not self._shelf.has_all(generation) or self._shelf.may_load(generation):
            return None
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        status: Status = "HIT"
        if now_s >= generation.confirmed_at_s + life.fresh_s:
            if not may_be_stale(entry, generation, life, now_s):
                return None
            self._revalidate(entry, generation, policy, now_s)
            status = "STALE"
        found = entry.founds.get(id(policy))
        if not isinstance(found, Kept) or found.status != status:
            if len(entry.founds) >= POLICIES_MAX:
                entry.founds.clear()
            fresh_until_s = generation.confirmed_at_s + life.fresh_s
            found = Kept(generation, policy, status, fresh_until_s, self._giver)
            entry.founds[id(policy)] = found
        self._count(status)
        return found

    async def _use(
        self, entry: Entry, generation: Generation, policy: Policy, wanted: Wanted
    ) -> Status | None:
        """How what is known can be given; None where S3 must say first whether it holds."""
        now_s = self._now()
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        if now_s < generation.confirmed_at_s + life.fresh_s:
            return await self._bring(generation, wanted)
        if not may_be_stale(entry, generation, life, now_s):
            return None
        if not self._judge.has_beginning(generation, wanted):
            return None
        self._revalidate(entry, generation, policy, now_s)
        await self._shelf.load(generation)
        return "STALE"

    async def _bring(self, generation: Generation, wanted: Wanted) -> Status:
        """See to it that what is wanted begins to come. Raises Changed where it never will."""
        if self._judge.first_missing(generation, wanted) is None:
            await self._shelf.load(generation)
            return "HIT"
        span = wanted if isinstance(wanted, Span) else Span(0, generation.size_bytes - 1)
        index = span.first // generation.slice_bytes
        if index in generation.pieces or self._shelf.has(generation, index):
            return "MISS"
        fill = generation.filling(index)
        if fill is None:
            last = max(index, span.last // generation.slice_bytes)
            fill = generation.supply.begin(generation, index, last)
        await fill.opened.wait()
        return "MISS"

    def _given(
        self, entry: Entry, heard: Heard, policy: Policy, wanted: Wanted, *, leads: bool
    ) -> Found | Absent | None:
        """What S3 said, for one of those who waited for it; None where that was not asked for."""
        if heard.representation is None:
            self._count("MISS")
            return _ABSENT_MISS
        generation = heard.generation
        if generation is None:
            if not leads:
                return None
            self._count("BYPASS")
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
        return self._kept(generation, policy, heard.status)

    def _revalidate(
        self, entry: Entry, generation: Generation, policy: Policy, now_s: float
    ) -> None:
        """Ask S3 in the background whether it still holds, unless that was in vain just now."""
        failed_at_s = entry.failed_at_s
        if entry.flight is not None or (failed_at_s is not None and now_s < failed_at_s + AGAIN_S):
            return
        wanted: Wanted = "head"
        if self._shelf.has(generation, 0):
            wanted = "whole" if generation.count == 1 else Span(0, generation.slice_bytes - 1)
        try:
            self._asker.begin(entry, policy, wanted, alone=False)
        except Unavailable:
            return  # nothing runs any more; what is stale is good as long as it may be served

    def _kept(self, generation: Generation, policy: Policy, status: Status) -> Kept:
        self._count(status)
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        fresh_until_s = generation.confirmed_at_s + life.fresh_s
        return Kept(generation, policy, status, fresh_until_s, self._giver)

    def _count(self, status: Status) -> None:
        name = _COUNTED[status]
        setattr(self._counters, name, getattr(self._counters, name) + 1)

    def _is_known(self, name: ObjectName) -> bool:
        entry = self._entries.get(name)
        if entry is not None and (entry.generation is not None or entry.passing is not None):
            return True
        return self._is_on_disk(name)

    def _is_on_disk(self, name: ObjectName) -> bool:
        return self._shelf.record(name, "") is not None

    def _buckets(self) -> Iterable[str]:
        return tuple(self._sources)


_COUNTED: dict[Status, str] = {
    "HIT": "hits",
    "MISS": "misses",
    "STALE": "stale",
    "REVALIDATED": "revalidated",
    "BYPASS": "bypassed",
}
