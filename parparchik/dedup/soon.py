"""PUT of what is small and has come whole, without a task as long as all goes well.

A task that sleeps three times, for a look, for S3 and for a commit, costs a third of what such a
PUT does. So here each step is called by whoever has done the one before. They are the steps of
`unclaimed`, and what holds after each of them is the same (`order`). Where anything is not as it
nearly always is, what there is to be undone is, and a task goes on: the one way is for speed, the
other for everything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from outcome import Outcome

from parparchik.content import ObjectBytes
from parparchik.dedup.blobs import storing_of
from parparchik.dedup.compress import Packer
from parparchik.dedup.order import OnStep
from parparchik.dedup.statistics import Counters
from parparchik.dedup.types import Blob, Metadata, Sight, Written
from parparchik.dedup.unclaimed import SIGHT_S, Unclaimed
from parparchik.errors import ClaimLost, ParparchikError
from parparchik.model import Unfinished

Then = Callable[[Written | Unfinished[Written]], None]

log = structlog.get_logger(__name__)


class SoonPuts:
    """What they have in common. `stored` notes that S3 has what a packer made, at a key."""

    __slots__ = ("bucket", "counters", "metadata", "now", "on_step", "stored", "unclaimed")

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        counters: Counters,
        unclaimed: Unclaimed,
        stored: Callable[[Packer, str], Blob],
        *,
        now: Callable[[], float],
        on_step: OnStep,
    ) -> None:
        self.metadata = metadata
        self.bucket = bucket
        self.counters = counters
        self.unclaimed = unclaimed
        self.stored = stored
        self.now = now
        self.on_step = on_step


class SoonPut:
    """One of them, of the path and the version that are asked for: `data`, of which `packer` knows
    all. `again` does it in a task, from the beginning; it is told whether the content has to be
    claimed. `then` is told once, from the event loop."""

    __slots__ = (
        "_again", "_data", "_digest", "_key", "_packer", "_path", "_puts", "_then", "_until_s",
        "_version_s",
    )  # fmt: skip

    def __init__(
        self,
        puts: SoonPuts,
        path: str,
        version_s: int,
        packer: Packer,
        data: bytes,
        *,
        again: Callable[[bool], Awaitable[Written]],
        then: Then,
    ) -> None:
        self._puts = puts
        self._path = path
        self._version_s = version_s
        self._packer = packer
        self._digest = packer.digest
        self._data = data
        self._again = again
        self._then = then
        self._key = ""  # where something of ours may be stored
        self._until_s = 0.0

    def begin(self) -> bool:
        """False: nothing was begun, and `then` is never told."""
        puts = self._puts
        now_s = puts.now()
        self._until_s = now_s + SIGHT_S
        return puts.metadata.look_soon(self._path, self._digest, now_s=now_s, then=self._on_seen)

    # -- called when a step is done: nothing may be raised ----------------------------------------

    def _on_seen(self, came: Outcome[Sight]) -> None:
        try:
            self._seen(came.unwrap())
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _on_stored(self, came: str | Unfinished[str]) -> None:
        try:
            if isinstance(came, Unfinished):
                self._end(Unfinished(partial(self._store_on, came)))
            else:
                self._refer(self._puts.stored(self._packer, self._key))
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _on_referred(self, came: Outcome[Written]) -> None:
        try:
            written = came.unwrap()
            self._puts.on_step("put", "referred")
            self._puts.counters.skipped += not self._key
            self._end(written)
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    # -- the steps --------------------------------------------------------------------------------

    def _seen(self, sight: Sight) -> None:
        puts, digest = self._puts, self._digest
        if sight.version_s is not None and sight.version_s > self._version_s:
            self._end(Written(sight.version_s, done=False))
        elif sight.blob is not None:
            self._refer(sight.blob)
        elif puts.unclaimed.is_storing(digest):
            self._give_up()  # a task waits for whoever does
        else:
            storing = storing_of(digest, self._packer.logical_bytes)
            if puts.bucket.store_soon(sight.key, self._data, storing, self._on_stored):
                puts.unclaimed.begin(digest, self)
                self._key = sight.key
            else:
                self._give_up()

    def _refer(self, blob: Blob) -> None:
        puts = self._puts
        now_s = puts.now()
        if now_s > self._until_s or not puts.metadata.put_soon(
            self._path, self._version_s, blob, now_s=now_s, then=self._on_referred
        ):
            self._give_up()

    # -- how it ends ------------------------------------------------------------------------------

    def _end(self, outcome: Written | Unfinished[Written]) -> None:
        if self._key:
            self._puts.unclaimed.end(self._digest, self)
        try:
            self._then(outcome)
        except Exception:  # it must not raise: here that would be taken for a step that failed
            log.exception("who was told of a PUT failed")

    def _give_up(self, *, claimed: bool = False) -> None:
        self._end(Unfinished(partial(self._begin_anew, claimed=claimed)))

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, ParparchikError):
            log.error("a PUT without a task failed", exc_info=error)
        if isinstance(error, ClaimLost):
            self._puts.counters.claims_lost += 1
            self._give_up(claimed=True)
        elif isinstance(error, ParparchikError):
            self._end(Unfinished(partial(self._refuse, error)))
        else:
            self._give_up()

    # -- in a task --------------------------------------------------------------------------------

    async def _refuse(self, error: ParparchikError) -> Written:
        """A task that began anew would be told the same, and be kept as long by a database that
        does not answer."""
        if self._key:
            await self._puts.unclaimed.discard(self._key)
        raise error

    async def _begin_anew(self, *, claimed: bool = False) -> Written:
        if self._key:
            await self._puts.unclaimed.discard(self._key)
        return await self._again(claimed)

    async def _store_on(self, unfinished: Unfinished[str]) -> Written:
        """S3 has not just taken it."""
        unclaimed, digest = self._puts.unclaimed, self._digest
        unclaimed.begin(digest, self)
        try:
            await unfinished.finish()
            blob = self._puts.stored(self._packer, self._key)
            return await unclaimed.refer(
                self._path, self._version_s, blob, self._until_s, imported=False
            )
        except ClaimLost:
            self._puts.counters.claims_lost += 1
            return await self._begin_anew(claimed=True)
        except BaseException:
            await unclaimed.discard(self._key)
            raise
        finally:
            unclaimed.end(digest, self)
