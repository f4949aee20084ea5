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
* When S3 fails, a known route is answered as stale until its bucket has failed for
  `stale_if_error_s`. An entry that its bucket no longer has is never answered as stale.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from parparchik.config.model import RoutesConfig
from parparchik.errors import Overloaded, UpstreamError
from parparchik.model import Entry, ObjectHead, Unfinished
from parparchik.registry.entries import bucket_index, pack
from parparchik.registry.presence import Presence, Prober
from parparchik.registry.table import Table

# Keys whose own verification is remembered, by latest use; some 400 bytes each. Any other key is
# verified when it is asked for.
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
    """The last verification of a known key, and its ready answer. `gone`: its bucket has said
    that it has it no longer, and where else it is could not be told."""

    __slots__ = ("gone", "head", "packed", "pending", "resolution", "verified_at")

    def __init__(self, packed: int, resolution: Resolution) -> None:
        self.packed = packed
        self.resolution = resolution
        self.verified_at = -math.inf
        self.pending = False
        self.gone = False
        self.head: ObjectHead | None = None  # what `packed` was made of, where S3 has been asked


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

    def __init__(self, registry: Table, prober: Prober, config: RoutesConfig) -> None:
        self.registry = registry
        self.prober = prober
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self._config = config
        self._ttl_s = config.verify_ttl_s
        self._half_ttl_s = config.verify_ttl_s / 2
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._negative: OrderedDict[str, float] = OrderedDict()  # key -> since when
        self._flights: dict[str, _Flight] = {}
        self._waiting = 0
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
            record = self._remember(key, packed, -math.inf)
        if record.gone:
            return None
        if mode != "never":
            age_s = trio.current_time() - record.verified_at
            if age_s >= self._ttl_s:
                return None
            if age_s >= self._half_ttl_s and not record.pending:
                self._renew(key, record)
        self.outcomes["fresh"] += 1
        return record.resolution

    def _absent_nowait(self, key: str) -> Resolution | None:
        since = self._negative.get(key)
        if since is None:
            return None
        if trio.current_time() - since >= self._config.negative_ttl_s:
            del self._negative[key]
            return None
        self.outcomes["negative"] += 1
        return ABSENT

    def resolve_soon(
        self, key: str, then: Callable[[Resolution | Unfinished[Resolution]], None]
    ) -> bool:
        """`resolve` without a task, for a known key whose every request is verified; False where
        that cannot begin at once. `then` is called later, once, from the event loop, and must not
        raise; `Unfinished.finish` raises what `resolve` does.

        No flight: nobody may share a HEAD that has begun, where every request gets its own.
        """
        packed = self.registry.packed(key) if self._config.verify == "always" else None
        if packed is None:
            return False
        index = bucket_index(packed)

        def tell(outcome: ObjectHead | Unfinished[ObjectHead | None]) -> None:
            if type(outcome) is ObjectHead:
                self.outcomes["present"] += 1
                then(self.learn(key, index, outcome))
            elif isinstance(outcome, Unfinished):
                then(Unfinished(partial(self._finish, key, packed, outcome)))

        return self.prober.head_soon(index, key, tell)

    async def _finish(
        self, key: str, packed: int, unfinished: Unfinished[ObjectHead | None]
    ) -> Resolution:
        async def ask() -> Resolution:
            async with self.prober.slots:
                head = await self.prober.noting(bucket_index(packed), unfinished.finish)
                return await self._settle(key, packed, head)

        return await self._waited_for(key, ask)

    async def resolve(self, key: str) -> Resolution:
        """Ask S3, or wait with others who do. Raises UpstreamError when S3 cannot tell and the
        key is unknown, or S3 has failed for too long; Overloaded when too many wait already."""
        begun_later = self._config.verify == "always"
        return await self._waited_for(key, partial(self._shared, key, begun_later=begun_later))

    async def _waited_for(self, key: str, ask: Callable[[], Awaitable[Resolution]]) -> Resolution:
        if self._waiting >= self._config.max_waiting:
            self.outcomes["overloaded"] += 1
            return self._stale(key, Overloaded("too many requests are waiting for S3"))
        self._waiting += 1
        try:
            return await ask()
        except UpstreamError as error:
            return self._stale(key, error)
        finally:
            self._waiting -= 1

    async def verify(self, key: str) -> Resolution:
        """Ask S3 by a HEAD begun after this call, whatever memory says. Never answers stale:
        raises UpstreamError instead."""
        return await self._shared(key, begun_later=True)

    def _stale(self, key: str, error: UpstreamError) -> Resolution:
        packed = self.registry.packed(key)
        if packed is not None and not self._is_gone(key, packed):
            health = self.prober.health[bucket_index(packed)]
            if health.failing_for_s(trio.current_time()) <= self._config.stale_if_error_s:
                self.outcomes["stale"] += 1
                return Resolution(self.registry.entry(key, packed), fresh=False)
        self.outcomes["failed"] += 1
        raise error

    def _is_gone(self, key: str, packed: int) -> bool:
        record = self._records.get(key)
        return record is not None and record.gone and record.packed == packed

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
        slots = self.prober.slots
        try:
            if slots.value:  # `acquire` would sleep for a moment all the same
                slots.acquire_nowait()
            else:
                await slots.acquire()
            try:
                flight.started = True
                flight.resolution = await self._ask(key)
                return flight.resolution
            finally:
                slots.release()
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
            return self._found(key, None, await self.prober.everywhere(key))
        index = bucket_index(packed)
        return await self._settle(key, packed, await self.prober.head(index, key))

    async def _settle(self, key: str, packed: int, head: ObjectHead | None) -> Resolution:
        """What it comes to that the bucket of `packed` said this."""
        index = bucket_index(packed)
        if head is not None:
            self.outcomes["present"] += 1
            return self.learn(key, index, head)
        # Until it is known where it is, if anywhere, nobody must be sent there.
        self._remember(key, packed, -math.inf).gone = True
        return self._found(key, packed, await self.prober.everywhere(key, but=index))

    def _found(self, key: str, packed: int | None, presence: Presence) -> Resolution:
        """What it comes to that this is where `key`, whose entry was `packed`, is now."""
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
        """S3 has just said that bucket `index` has `key`. The same object again as long as S3 says
        the same."""
        record = self._records.get(key)
        if record is None or record.head is not head or self.registry.packed(key) != record.packed:
            self._negative.pop(key, None)
            packed = pack(index, head.size_bytes, head.last_modified_s)
            self.registry.put(key, packed)
        else:
            packed = record.packed
        record = self._remember(key, packed, trio.current_time())
        record.head = head
        return record.resolution

    def forget(self, key: str) -> None:
        """S3 has just said that no bucket has `key`."""
        self.registry.discard(key)
        self._records.pop(key, None)
        if self._config.negative_ttl_s > 0:
            self._negative.pop(key, None)
            self._negative[key] = trio.current_time()
            while len(self._negative) > self._config.negative_max:
                self._negative.popitem(last=False)

    def doubt_absence(self, key: str) -> None:
        """Somebody else has found `key`: that it was nowhere is true no longer."""
        self._negative.pop(key, None)

    def doubt_absences(self) -> None:
        """The same of every key: nobody knows what has been found."""
        self._negative.clear()

    def settled_since(self, key: str, since: float) -> bool:
        """Whether S3 has said after monotonic time `since` where `key` is, or that it is
        nowhere."""
        record = self._records.get(key)
        if record is not None and record.verified_at >= since:
            return True
        return self._negative.get(key, -math.inf) >= since

    def _remember(self, key: str, packed: int, at: float) -> _Record:
        record = self._records.get(key)
        if record is None or record.packed != packed:
            fresh = None if self._config.verify == "never" else True
            record = _Record(packed, Resolution(self.registry.entry(key, packed), fresh))
            self._records[key] = record
        record.verified_at = at
        record.pending = record.gone = False
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
