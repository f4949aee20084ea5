"""Is a route still true? Verification at request time, and the search for what is not known.

Two questions, as everywhere a request may be answered without waiting: `resolve_nowait` answers
from memory or says that it cannot; `resolve` asks S3. Between them:

* A verification is worth `verify_ttl_s`. In its first half it answers; in its second half it
  answers too, and is renewed in the background; after that one HEAD is shared by all who wait.
  In the mode `always` only a HEAD that began after the request arrived may answer it, so a
  request shares a HEAD only as long as that is still waiting for its slot.
* Keys that no bucket has are remembered for `negative_ttl_s`, at most `negative_max` of them.
* When S3 fails, a known route is answered as stale until its bucket has failed for
  `stale_if_error_s`. An entry that its bucket no longer has is never answered as stale.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from parparchik.config.model import RoutesConfig
from parparchik.errors import Overloaded, UpstreamError
from parparchik.model import ObjectHead, Unfinished
from parparchik.registry.entries import bucket_index, pack
from parparchik.registry.flights import Flights
from parparchik.registry.memory import Memory, Verification
from parparchik.registry.presence import Presence, Prober
from parparchik.registry.resolution import ABSENT, OUTCOMES, Resolution
from parparchik.registry.table import Table

BACKGROUND_TASKS = 16
BACKGROUND_QUEUE = 1024


class Resolver:
    """Answers where a key is; keeps the registry true to what S3 says."""

    def __init__(self, registry: Table, prober: Prober, config: RoutesConfig) -> None:
        self.registry = registry
        self.prober = prober
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self._config = config
        self._ttl_s = config.verify_ttl_s
        self._half_ttl_s = config.verify_ttl_s / 2
        self._memory = Memory(registry, config)
        self._flights = Flights(self._ask, prober.slots, self._count_shared)
        self._waiting = 0
        self._queue, self._queued = trio.open_memory_channel[str](BACKGROUND_QUEUE)

    # -- answers ------------------------------------------------------------------------------

    def resolve_nowait(self, key: str) -> Resolution | None:
        """The answer if memory has one; None when S3 must be asked (`resolve`)."""
        packed = self.registry.packed(key)
        if packed is None:
            if not self._memory.is_absent(key):
                return None
            self.outcomes["negative"] += 1
            return ABSENT
        mode = self._config.verify
        if mode == "always":
            return None
        known = self._memory.get(key)
        if known is None or known.packed != packed:
            if mode != "never":
                return None
            known = self._memory.remember(key, packed, -math.inf)
        if known.gone:
            return None
        if mode != "never":
            age_s = trio.current_time() - known.at_s
            if age_s >= self._ttl_s:
                return None
            if age_s >= self._half_ttl_s and not known.pending:
                self._renew(key, known)
        self.outcomes["fresh"] += 1
        return known.resolution

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
        always = self._config.verify == "always"
        return await self._waited_for(key, partial(self._flights.share, key, begun_later=always))

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
        return await self._flights.share(key, begun_later=True)

    def _stale(self, key: str, error: UpstreamError) -> Resolution:
        packed = self.registry.packed(key)
        if packed is not None and not self._memory.is_gone(key, packed):
            health = self.prober.health[bucket_index(packed)]
            if health.failing_for_s(trio.current_time()) <= self._config.stale_if_error_s:
                self.outcomes["stale"] += 1
                return Resolution(self.registry.entry(key, packed), fresh=False)
        self.outcomes["failed"] += 1
        raise error

    # -- asking S3 ----------------------------------------------------------------------------

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
        self._memory.remember(key, packed, -math.inf).gone = True
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
        memory = self._memory
        known = memory.get(key)
        if known is None or known.head is not head or self.registry.packed(key) != known.packed:
            memory.doubt_absence(key)
            packed = pack(index, head.size_bytes, head.last_modified_s)
            self.registry.put(key, packed)
        else:
            packed = known.packed
        known = memory.remember(key, packed, trio.current_time())
        known.head = head
        return known.resolution

    def forget(self, key: str) -> None:
        """S3 has just said that no bucket has `key`."""
        self.registry.discard(key)
        self._memory.remember_absent(key)

    def doubt_absence(self, key: str) -> None:
        """Somebody else has found `key`: that it was nowhere is true no longer."""
        self._memory.doubt_absence(key)

    def doubt_absences(self) -> None:
        """The same of every key: nobody knows what has been found."""
        self._memory.doubt_absences()

    def settled_since(self, key: str, since_s: float) -> bool:
        """Whether S3 has said after monotonic time `since_s` where `key` is, or that it is
        nowhere."""
        return self._memory.settled_since(key, since_s)

    def remembered(self) -> tuple[int, int, int]:
        """How many verifications, absences and questions under way memory holds."""
        return (*self._memory.sizes(), len(self._flights))

    def _count_shared(self) -> None:
        self.outcomes["shared"] += 1

    # -- background ---------------------------------------------------------------------------

    def _renew(self, key: str, known: Verification) -> None:
        try:
            self._queue.send_nowait(key)
        except trio.WouldBlock:
            return  # a request will verify it when the TTL has passed
        known.pending = True

    async def run(self) -> None:
        """Renew verifications in the background, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(BACKGROUND_TASKS):
                nursery.start_soon(self._renew_queued)

    async def _renew_queued(self) -> None:
        async for key in self._queued:
            self.outcomes["renewed"] += 1
            try:
                await self._flights.share(key, begun_later=False)
            except UpstreamError:
                known = self._memory.get(key)  # `Health` has noted why
                if known is not None:
                    known.pending = False
