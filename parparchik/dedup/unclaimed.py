"""PUT of what is wholly in memory, which needs no claim.

A claim keeps others away from the key at which something is being stored, and costs a transaction.
What is in memory can be stored again: so nobody is kept away, and the transaction that refers to
the object looks whether its key has become garbage meanwhile. If so, it is stored once more, at
another key, and with a claim: nobody loses for ever.

Others may store the same at the same key at the same time. Their object has the same content, so it
does not matter whose stays, though it may be another gzip (`blobs.is_of`). Within this process they
wait for each other, and the second one finds the blob there; where it does not, a few times over,
S3 is in trouble, and each tries for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from parparchik.dedup.keys import REST_S
from parparchik.dedup.order import OnStep
from parparchik.dedup.statistics import Counters
from parparchik.dedup.types import Blob, Metadata, Sight, Written
from parparchik.errors import ClaimLost, UpstreamError

WAITS = 3  # for others who store the same, and fail
# For how long what was seen is relied on, as after a machine was suspended: a key that has become
# garbage meanwhile is known to have been for as long as it rests, by clocks that may differ.
SIGHT_S = REST_S / 2
DISCARD_S = 10.0  # how long nobody's cancellation can keep a key from being given up

Store = Callable[[str], Awaitable[Blob]]
"""Store the content at that key of S3."""

log = structlog.get_logger(__name__)


class Unclaimed:
    """`now` is the wall clock, the same for all processes."""

    def __init__(
        self, metadata: Metadata, counters: Counters, *, now: Callable[[], float], on_step: OnStep
    ) -> None:
        self._metadata = metadata
        self._counters = counters
        self._now = now
        self._on_step = on_step
        # By digest, of content that is on its way to S3: whose it is, and who waits for that.
        self._storing: dict[str, tuple[object, trio.Event]] = {}

    async def put(
        self, path: str, version_s: int, digest: str, store: Store, *, imported: bool
    ) -> Written:
        """By one caller at a time for each path. Raises ClaimLost where it has to be claimed, for
        others have taken it for garbage; PathConflict, UpstreamError, and what `store` raises."""
        sight, until_s = await self._see(path, digest)
        if sight.version_s is not None and sight.version_s > version_s:
            return Written(sight.version_s, done=False)
        if sight.blob is not None:
            written = await self.refer(path, version_s, sight.blob, until_s, imported=imported)
            self._counters.skipped += 1
            return written
        self.begin(digest, store)
        try:
            blob = await store(sight.key)
            return await self.refer(path, version_s, blob, until_s, imported=imported)
        except BaseException:
            await self.discard(sight.key)
            raise
        finally:
            self.end(digest, store)

    def is_storing(self, digest: str) -> bool:
        """Whether somebody here is storing that content."""
        return digest in self._storing

    def begin(self, digest: str, who: object) -> None:
        """`who` is storing it; others wait for whoever was first."""
        self._storing.setdefault(digest, (who, trio.Event()))

    def end(self, digest: str, who: object) -> None:
        """Whatever came of it."""
        storing = self._storing.get(digest)
        if storing is not None and storing[0] is who:
            del self._storing[digest]
            storing[1].set()

    async def _see(self, path: str, digest: str) -> tuple[Sight, float]:
        """And until when that is relied on. When nobody here is storing that content, or others
        have failed to."""
        waits = 0
        while True:
            now_s = self._now()
            sight = await self._metadata.look(path, digest, now_s=now_s)
            storing = self._storing.get(digest)
            if sight.blob is not None or storing is None or waits == WAITS:
                return sight, now_s + SIGHT_S
            await storing[1].wait()
            waits += 1

    async def refer(
        self, path: str, version_s: int, blob: Blob, until_s: float, *, imported: bool
    ) -> Written:
        """The last step, if what was seen can be relied on until `until_s`. Raises ClaimLost and
        PathConflict."""
        now_s = self._now()
        if now_s > until_s:
            raise ClaimLost("what was seen of the content is too long ago; try again")
        written = await self._metadata.put(
            path, version_s, blob, None, now_s=now_s, imported=imported
        )
        self._on_step("put", "referred")
        return written

    async def discard(self, key: str) -> None:
        """What may be stored there is garbage, unless it is referred to after all: where the
        database did not answer, nobody knows. Where this fails, a sweep of the cleaner finds it."""
        with trio.move_on_after(DISCARD_S, shield=True):
            try:
                await self._metadata.unknown([key])
            except UpstreamError as error:
                log.warning("an object was not discarded", key=key, reason=str(error))
