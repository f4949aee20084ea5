"""Is a route still true? Verification at request time, and the search for what is not known.

Two questions, as everywhere a request may be answered without waiting: `resolve_nowait` answers
from memory or says that it cannot; `resolve` asks S3. Between them:

* A verification is worth `verify_ttl_s`. In its first half it answers; in its second half it
  answers too, and is renewed in the background; after that one HEAD is shared by all who wait.
  In the mode `always` only a HEAD that began after the request arrived may answer it, so a
  request shares a HEAD only as long as that is still waiting for its slot.
* Whoever comes first asks S3 in its own task. If that task is cancelled (its client left), one of
  those who waited asks again: a HEAD costs little, and no client depends on another's patience.
* Keys that no bucket has are remembered for `negative_ttl_s`, at most `negative_max` of them.
* When S3 fails, a known route is answered as stale until `stale_if_error_s` after it was last
  seen to be true. An entry that its bucket no longer has is never answered as stale.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import trio

from parparchik.config.model import RoutesConfig
from parparchik.errors import Overloaded, UpstreamError
from parparchik.model import Entry, ObjectHead
from parparchik.registry.entries import Registry, bucket_index, pack
from parparchik.registry.presence import Prober

# Keys whose own verification is remembered, by latest use; some 400 bytes each. Any other key is
# as true as its bucket was when that was last compared as a whole.
VERIFIED_MAX = 100_000
BACKGROUND_TASKS = 16
BACKGROUND_QUEUE = 1024

OUTCOMES = (
    "fresh",  # answered from memory
    "renewed",  # verified in the background, ahead of need
    "present",  # S3 was asked: still there
    "found",  # S3 was asked: new, or moved to another bucket
    "absent",  # S3 was asked: nowhere
    "negative",  # known to be nowhere a moment ago
    "shared",  # waited for somebody else's HEAD
    "stale",  # S3 could not tell, answered all the same
    "failed",  # S3 could not tell, and nothing could be answered
    "overloaded",  # too many were waiting already
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where a key is. `entry` None: in no bucket. `fresh` tells whether S3 has confirmed it
    within the TTL; None where verification is switched off."""

    entry: Entry | None
    fresh: bool | None = True


ABSENT = Resolution(None)


class _Record:
    """The last verification of a known key, and its ready answers."""

    __slots__ = ("fresh", "packed", "pending", "verified_at")

    def __init__(self, packed: int, entry: Entry, verified_at: float, fresh: bool | None) -> None:
        self.packed = packed
        self.fresh = Resolution(entry, fresh)
        self.verified_at = verified_at
        self.pending = False


class _Flight:
    """One question to S3 that several requests may wait for."""

    __slots__ = ("done", "error", "resolution", "started")

    def __init__(self) -> None:
        self.started = False
        self.done: trio.Event | None = None
        self.resolution: Resolution | None = None
        self.error: UpstreamError | None = None


class Resolver:
    """Answers where a key is; keeps the registry true to what S3 says."""

    def __init__(self, registry: Registry, prober: Prober, config: RoutesConfig) -> None:
        self.registry = registry
        self.prober = prober
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self._config = config
        self._ttl_s = config.verify_ttl_s
        self._half_ttl_s = config.verify_ttl_s / 2
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._negative: OrderedDict[str, float] = OrderedDict()  # key -> until when
        self._flights: dict[str, _Flight] = {}
        self._waiting = 0
        # When all entries of a bucket were last known to be true: stands in for a key that has no
        # record of its own.
        self._known_at = [-math.inf] * len(registry.buckets)
        self._queue, self._queued = trio.open_memory_channel[str](BACKGROUND_QUEUE)

    # -- answers ------------------------------------------------------------------------------

    def resolve_nowait(self, key: str) -> Resolution | None:
        """The answer if memory has one; None when S3 must be asked (`resolve`)."""
        packed = self.registry.packed(key)
        if packed is None:
            return self._absent_nowait(key)
        mode = self._config.verify
        if mode == "always":
            return None
        record = self._records.get(key)
        if record is None or record.packed != packed:
            if mode != "never":
                return None
            record = self._remember(key, packed, -math.inf, fresh=None)
        if mode != "never":
            age_s = trio.current_time() - record.verified_at
            if age_s >= self._ttl_s:
                return None
            if age_s >= self._half_ttl_s and not record.pending:
                self._renew(key, record)
        self.outcomes["fresh"] += 1
        return record.fresh

    def _absent_nowait(self, key: str) -> Resolution | None:
        until = self._negative.get(key)
        if until is None:
            return None
        if trio.current_time() >= until:
            del self._negative[key]
            return None
        self.outcomes["negative"] += 1
        return ABSENT

    async def resolve(self, key: str) -> Resolution:
        """Ask S3, or wait with others who do. Raises UpstreamError when S3 cannot tell and the
        key is unknown, or was last seen too long ago; Overloaded when too many wait already."""
        if self._waiting >= self._config.max_waiting:
            self.outcomes["overloaded"] += 1
            return self._stale(key, Overloaded("too many requests are waiting for S3"))
        self._waiting += 1
        try:
            return await self._shared(key, begun_later=self._config.verify == "always")
        except UpstreamError as error:
            return self._stale(key, error)
        finally:
            self._waiting -= 1

    async def verify(self, key: str) -> Resolution:
        """Ask S3 by a HEAD begun after this call, whatever memory says. Never answers stale:
        raises UpstreamError instead."""
        return await self._shared(key, begun_later=True)

    def _stale(self, key: str, error: UpstreamError) -> Resolution:
        entry = self.registry.get(key)
        if entry is not None:
            age_s = trio.current_time() - self._last_true(key)
            if age_s <= self._config.stale_if_error_s:
                self.outcomes["stale"] += 1
                return Resolution(entry, fresh=False)
        self.outcomes["failed"] += 1
        raise error

    def _last_true(self, key: str) -> float:
        record = self._records.get(key)
        packed = self.registry.packed(key)
        if record is not None and record.packed == packed and record.fresh.fresh is not None:
            return record.verified_at
        return -math.inf if packed is None else self._known_at[bucket_index(packed)]

    # -- asking S3 ----------------------------------------------------------------------------

    async def _shared(self, key: str, *, begun_later: bool) -> Resolution:
        while True:
            flight = self._flights.get(key)
            if flight is None or (begun_later and flight.started):
                flight = self._flights[key] = _Flight()
                return await self._lead(key, flight)
            if flight.done is None:
                flight.done = trio.Event()
            self.outcomes["shared"] += 1
            await flight.done.wait()
            if flight.resolution is not None:
                return flight.resolution
            if flight.error is not None:
                raise flight.error
            # Neither: whoever asked was cancelled.

    async def _lead(self, key: str, flight: _Flight) -> Resolution:
        try:
            async with self.prober.slots:
                flight.started = True
                flight.resolution = await self._ask(key)
                return flight.resolution
        except UpstreamError as error:
            flight.error = error
            raise
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if flight.done is not None:
                flight.done.set()

    async def _ask(self, key: str) -> Resolution:
        packed = self.registry.packed(key)
        if packed is None:
            presence = await self.prober.everywhere(key)
        else:
            index = bucket_index(packed)
            head = await self.prober.head(index, key)
            if head is not None:
                self.outcomes["present"] += 1
                return self.learn(key, index, head)
            self._distrust(key, packed)
            presence = await self.prober.everywhere(key, but=index)
        presence.raise_if_unknown()
        if presence.heads:
            index, head = presence.heads[0]
            self.outcomes["found"] += 1
            resolution = self.learn(key, index, head)
            self.registry.set_duplicate(key, len(presence.heads) > 1)
            return resolution
        self.outcomes["absent"] += 1
        if self.registry.packed(key) == packed:  # nobody has found it elsewhere meanwhile
            self.forget(key)
        return ABSENT

    # -- what is known ------------------------------------------------------------------------

    def learn(self, key: str, index: int, head: ObjectHead) -> Resolution:
        """S3 has just said that bucket `index` has `key`."""
        self._negative.pop(key, None)
        packed = pack(index, head.size_bytes, head.last_modified_s)
        self.registry.put(key, packed)
        return self._remember(key, packed, trio.current_time(), fresh=True).fresh

    def forget(self, key: str) -> None:
        """S3 has just said that no bucket has `key`."""
        self.registry.discard(key)
        self._records.pop(key, None)
        if self._config.negative_ttl_s > 0:
            self._negative.pop(key, None)
            self._negative[key] = trio.current_time() + self._config.negative_ttl_s
            while len(self._negative) > self._config.negative_max:
                self._negative.popitem(last=False)

    def verified_since(self, key: str, since: float) -> bool:
        """Whether S3 has confirmed `key` after monotonic time `since`."""
        record = self._records.get(key)
        return record is not None and record.verified_at >= since

    def all_true(self, index: int, at: float) -> None:
        """Every entry of bucket `index` was true at monotonic time `at`: its manifest was read,
        or the bucket was compared with it."""
        self._known_at[index] = max(self._known_at[index], at)

    def _distrust(self, key: str, packed: int) -> None:
        """The entry's own bucket has it no longer; until it is known where it is, if anywhere,
        nobody must be sent there."""
        self._remember(key, packed, -math.inf, fresh=True)

    def _remember(self, key: str, packed: int, at: float, *, fresh: bool | None) -> _Record:
        record = self._records.get(key)
        if record is None or record.packed != packed or record.fresh.fresh is not fresh:
            record = _Record(packed, self.registry.entry(key, packed), at, fresh)
            self._records[key] = record
        else:
            record.verified_at = at
            record.pending = False
        self._records.move_to_end(key)
        while len(self._records) > VERIFIED_MAX:
            self._records.popitem(last=False)
        return record

    # -- background ---------------------------------------------------------------------------

    def _renew(self, key: str, record: _Record) -> None:
        try:
            self._queue.send_nowait(key)
        except trio.WouldBlock:
            return  # a request will verify it when the TTL has passed
        record.pending = True

    async def run(self) -> None:
        """Renew verifications in the background, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(BACKGROUND_TASKS):
                nursery.start_soon(self._renew_queued)

    async def _renew_queued(self) -> None:
        async for key in self._queued:
            self.outcomes["renewed"] += 1
            try:
                await self._shared(key, begun_later=False)
            except UpstreamError:
                record = self._records.get(key)  # `Health` has noted why
                if record is not None:
                    record.pending = False
