"""What is known of an object, as an answer: without S3 where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from parparchik.cache.asking import Asker
from parparchik.cache.fetch import Fetcher
from parparchik.cache.found import Giver, Kept
from parparchik.cache.freshness import lifetime
from parparchik.cache.generation import CLOCK_STEP_S, Entry, Generation
from parparchik.cache.judge import Judge, may_be_stale
from parparchik.cache.types import Absent, Policy, Status, Wanted
from parparchik.cache.workings import Workings
from parparchik.content import ObjectName, Span
from parparchik.errors import Unavailable

AGAIN_S = 1.0
"""An object that S3 could not tell anything of is asked about again after this, while what is known
of it is served."""
POLICIES_MAX = 8
"""Policies, of different mounts, under which an object's answer is remembered."""

_ABSENT = Absent("HIT")


class Known:
    __slots__ = (
        *("_asker", "_counters", "_fetcher", "_giver", "_judge", "_memory", "_now", "_shelf"),
    )

    def __init__(
        self, fetcher: Fetcher, judge: Judge, asker: Asker, giver: Giver, workings: Workings
    ) -> None:
        self._fetcher = fetcher
        self._judge = judge
        self._asker = asker
        self._giver = giver
        self._shelf = workings.shelf
        self._memory = workings.shelf.memory
        self._counters = workings.counters
        self._now: Callable[[], float] = workings.now

    def entry(self, name: ObjectName) -> Entry:
        """With what the disk knows, where memory knows nothing."""
        entry = self._memory.find(name)
        if entry is None:
            entry = self._memory.make(name)
            record = self._shelf.record(name, "")
            if record is not None:
                if record.confirmed_at_s > self._now():  # the clock was wrong, then or now
                    record = replace(record, confirmed_at_s=0.0)
                entry.generation = Generation(entry, record, self._fetcher)
                self._memory.charge(entry)
        return entry

    def absent(self, name: ObjectName, policy: Policy, now_s: float) -> Absent | None:
        since_s = self._memory.absent_since(name)
        if since_s is None or not -CLOCK_STEP_S < now_s - since_s < policy.negative_ttl_s:
            return None
        self._counters.negative_hits += 1
        return _ABSENT

    def at_once(self, entry: Entry, policy: Policy, now_s: float) -> Kept | None:
        """What can be given without asking or waiting, and is given again while that is so."""
        generation = entry.generation
        if generation is None or self._judge.passes(entry, policy, "head"):
            return None
        if not self._shelf.has_all(generation) or self._shelf.may_load(generation):
            return None
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        generation.correct(life.fresh_s, now_s)
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
        self._used(generation)
        self.count(status)
        return found

    async def bring(
        self, entry: Entry, generation: Generation, policy: Policy, wanted: Wanted
    ) -> Status | None:
        """How what is known can be given; None where S3 must say first whether it holds. Raises
        Changed where what is missing of it never comes."""
        now_s = self._now()
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        generation.correct(life.fresh_s, now_s)
        if now_s < generation.confirmed_at_s + life.fresh_s:
            return await self._begin(generation, wanted)
        if not may_be_stale(entry, generation, life, now_s):
            return None
        if not self._judge.has_beginning(generation, wanted):
            return None
        self._revalidate(entry, generation, policy, now_s)
        await self._shelf.load(generation)
        return "STALE"

    def kept(self, generation: Generation, policy: Policy, status: Status) -> Kept:
        self._used(generation)
        self.count(status)
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        fresh_until_s = generation.confirmed_at_s + life.fresh_s
        return Kept(generation, policy, status, fresh_until_s, self._giver)

    def count(self, status: Status) -> None:
        name = _COUNTED[status]
        setattr(self._counters, name, getattr(self._counters, name) + 1)

    async def _begin(self, generation: Generation, wanted: Wanted) -> Status:
        """See to it that what is wanted begins to come."""
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

    def _revalidate(
        self, entry: Entry, generation: Generation, policy: Policy, now_s: float
    ) -> None:
        """Ask S3 in the background whether it still holds, unless that was in vain just now."""
        failed_at_s = entry.failed_at_s
        just_now = failed_at_s is not None and abs(now_s - failed_at_s) < AGAIN_S
        if entry.flight is not None or just_now:
            return
        wanted: Wanted = "head"
        if self._shelf.has(generation, 0):
            wanted = "whole" if generation.count == 1 else Span(0, generation.slice_bytes - 1)
        try:
            self._asker.begin(entry, policy, wanted, alone=False)
        except Unavailable:
            return  # nothing runs any more; what is stale is good as long as it may be served

    def _used(self, generation: Generation) -> None:
        """It is given just now: what is ready is never read by a reader, which would say so."""
        piece = generation.pieces.get(0)
        if piece is not None:
            self._memory.touch(piece)
        self._memory.touch(generation.entry)


_COUNTED: dict[Status, str] = {
    "HIT": "hits",
    "MISS": "misses",
    "STALE": "stale",
    "REVALIDATED": "revalidated",
    "BYPASS": "bypassed",
}
