"""A worker's part of the registry: the entries of the keys that it was asked for.

Nothing is copied when a worker starts. The first request for a key asks the owner for its entry;
from then on the owner tells of every change. So of a million entries a worker has those that it
was asked for, at most `ENTRIES_MAX`, in some 200 bytes each. Measured with keys of 34 bytes: a
first sight is 87 bytes on the channel and 80 microseconds of processor time of both processes
together; 10 where 64 requests ask at once, since those that come at the same time, or want the
same key, share a message. A change costs 5 microseconds and about 50 bytes for each worker.

What S3 says to this worker's own HEADs changes the mirror at once and is reported to the owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from parparchik.config.model import RoutesConfig
from parparchik.errors import Overloaded, UpstreamError
from parparchik.model import Bucket, Entry
from parparchik.registry import Prober, Resolution, Resolver, bucket_index, size_and_time
from parparchik.server.workers.messages import Change, to_bytes
from parparchik.server.workers.owner import Owner

ENTRIES_MAX = 100_000
"""As many as the verification remembers: beyond it a key costs a HEAD anyway."""


class Mirror:
    """`registry.Table` of the entries asked for. The oldest is forgotten when there are too many:
    not the one used least, because then every read would have to be noted."""

    def __init__(
        self, buckets: Sequence[Bucket], owner: Owner, *, entries_max: int = ENTRIES_MAX
    ) -> None:
        self._buckets = tuple(buckets)
        self._owner = owner
        self._entries: OrderedDict[str, int] = OrderedDict()
        self._entries_max = entries_max
        self._wanted: dict[str, int] = {}  # keys of requests that are being answered
        self.packed = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str, packed: int) -> Entry:
        return Entry(key, self._buckets[bucket_index(packed)], *size_and_time(packed))

    # -- what this worker learns of S3 --------------------------------------------------------

    def put(self, key: str, packed: int) -> bool:
        seen = self._entries.get(key)
        if seen == packed:
            return False
        self._set(key, packed)
        self._owner.report([Change(key, to_bytes(seen), to_bytes(packed))])
        return True

    def discard(self, key: str) -> bool:
        seen = self._entries.pop(key, None)
        if seen is None:
            return False
        self._owner.report([Change(key, to_bytes(seen), None)])
        return True

    def set_duplicate(self, key: str, duplicate: bool) -> None:
        now = to_bytes(self._entries.get(key))
        self._owner.report([Change(key, now, now, duplicate)])

    # -- what the owner says ------------------------------------------------------------------

    def want(self, key: str) -> None:
        """Until `release`, take in what the owner tells of `key` even where it was unknown: S3's
        answer to a HEAD under way may be older."""
        self._wanted[key] = self._wanted.get(key, 0) + 1

    def release(self, key: str) -> None:
        self._wanted[key] -= 1
        if not self._wanted[key]:
            del self._wanted[key]

    def take(self, key: str, packed: int | None) -> None:
        """What the owner tells, if anybody here has asked for `key`."""
        if packed is None:
            self._entries.pop(key, None)
        elif key in self._entries or key in self._wanted:
            self._set(key, packed)

    def clear(self) -> None:
        self._entries.clear()

    def _set(self, key: str, packed: int) -> None:
        self._entries[key] = packed
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)


class WorkerLookup:
    """`routes.Lookup` of a worker: the owner is asked for the entry, S3 for the truth of it.

    An owner that cannot be asked never makes a 404: an unknown key is then Unavailable, and known
    ones go on.
    """

    def __init__(self, mirror: Mirror, owner: Owner, prober: Prober, config: RoutesConfig) -> None:
        self.resolver = Resolver(mirror, prober, config)
        # What is not mirrored they cannot tell, which is as it should be.
        self.resolve_nowait = self.resolver.resolve_nowait
        self.resolve_soon = self.resolver.resolve_soon
        self._mirror = mirror
        self._owner = owner
        self._max_waiting = config.max_waiting
        self._waiting = 0
        self._doubts = 0  # how often everything known has become doubtful
        owner.tell(self)

    async def resolve(self, key: str) -> Resolution:
        """Raises UpstreamError."""
        if self._mirror.packed(key) is not None:
            return await self.resolver.resolve(key)
        if self._waiting >= self._max_waiting:
            self.resolver.outcomes["overloaded"] += 1
            raise Overloaded("too many requests are waiting")
        self._waiting += 1
        self._mirror.want(key)
        try:
            return await self._resolve_unknown(key)
        finally:
            self._mirror.release(key)
            self._waiting -= 1

    async def _resolve_unknown(self, key: str) -> Resolution:
        doubts = self._doubts
        try:
            await self._owner.find(key)
        except UpstreamError:
            self.resolver.outcomes["failed"] += 1
            raise
        known = self.resolver.resolve_nowait(key)
        if known is None:
            known = await self.resolver.resolve(key)
            if known.entry is None and doubts != self._doubts:
                # Somebody may have found it while S3 was asked, and the owner could not tell.
                self.resolver.doubt_absence(key)
        return known

    # -- owner.Audience -----------------------------------------------------------------------

    def changed(self, key: str, packed: int | None) -> None:
        self._mirror.take(key, packed)
        if packed is not None:
            self.resolver.doubt_absence(key)

    def changed_beyond_telling(self) -> None:
        self._doubts += 1
        self._mirror.clear()
        self.resolver.doubt_absences()
