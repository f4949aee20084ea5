"""PUT: from a body that nobody knows to a path that refers to its content.

Four ways lead there, by what the client announces and what S3 has:

* What is small waits in memory until it is known what it is (`unclaimed`), or, where it has come
  whole, it need not wait, nor have a task (`soon`).
* The digest is announced, and stored: the body is read for the sake of verifying it, and dropped.
* Digest and size are announced: it goes on to S3 as it comes, and is stored only if it is what was
  announced.
* Everything else waits in a spool.

In all of them `order` has the steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from parparchik.content import ObjectBytes
from parparchik.dedup.blobs import storing_of
from parparchik.dedup.claims import Claims
from parparchik.dedup.compress import Packer
from parparchik.dedup.order import OnStep
from parparchik.dedup.put import Put, PutLimits
from parparchik.dedup.receive import Body
from parparchik.dedup.soon import SoonPut, SoonPuts, Then
from parparchik.dedup.spool import Spool, Spools
from parparchik.dedup.statistics import Counters
from parparchik.dedup.types import Blob, Claim, Metadata, Written
from parparchik.dedup.unclaimed import Unclaimed
from parparchik.dedup.writers import Writers
from parparchik.errors import ClaimLost, Overloaded
from parparchik.model import Unfinished

TRIES = 3  # of what others take for lost each time


class Puts:
    """`receiving` is how many bodies are being taken."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        limits: PutLimits,
        counters: Counters,
        writers: Writers,
        *,
        now: Callable[[], float],
        on_step: OnStep,
    ) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._limits = limits
        self._counters = counters
        self._writers = writers
        self._now = now
        self._on_step = on_step
        self._claims = Claims(metadata, life_s=limits.claim_life_s, now=now)
        self._unclaimed = Unclaimed(metadata, counters, now=now, on_step=on_step)
        self._soon = SoonPuts(
            metadata, bucket, counters, self._unclaimed, self._stored, now=now, on_step=on_step
        )
        self._large = trio.Semaphore(limits.max_large)
        self._straight = trio.Semaphore(limits.max_large)
        self.spools = Spools(limits.spool)
        self.receiving = 0
        self.refused = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what takes long from losing its claim, until cancelled."""
        await self._claims.run(task_status)

    async def put(self, put: Put) -> Written:
        if self.receiving >= self._limits.max_bodies:
            self.refused += 1
            raise Overloaded(f"{self._limits.max_bodies} uploads are being taken already")
        return await self._counted(partial(self._put, put, False))

    def put_soon(self, put: Put, data: bytes, then: Then) -> bool:
        """The same of what is small, without a task: where that can begin at once, `then` is called
        later, once, from the event loop, with what came of it, or with what remains to be done
        (which does not count as being taken until it goes on); it must not raise. `data` is all
        that `put.upload` reads. False: nothing was begun. Raises what is wrong with the body or the
        path: nothing was, either."""
        has_room = self.receiving < self._limits.max_bodies
        if put.imported or not (has_room and self._is_small(put) and self._metadata.is_prompt):
            return False
        if not self._writers.acquire_nowait(put.path):
            return False
        begun = False
        try:
            begun = self._begin_soon(put, data, then)
        finally:
            if not begun:
                self._writers.release(put.path)
        return begun

    def _begin_soon(self, put: Put, data: bytes, then: Then) -> bool:
        """It is this one's turn at its path, and at its end another's."""
        body = self._body(put)
        stored = body.take_whole(data)
        if stored is None or not self.spools.hold(len(stored)):
            return False

        def let_go() -> None:
            self.receiving -= 1
            self.spools.let_go(len(stored))

        def end(came: Written | Unfinished[Written]) -> None:
            let_go()
            self._writers.release(put.path)
            if isinstance(came, Written):
                self._count(came)
                then(came)
            else:
                then(Unfinished(partial(self._counted, came.finish)))

        self.receiving += 1
        again = partial(self._put, put, is_counted=True)
        soon = SoonPut(
            *(self._soon, put.path, put.version_s, body.packer, stored), again=again, then=end
        )
        begun = False
        try:
            begun = soon.begin()
        finally:
            if not begun:
                let_go()
        if begun:
            self._counters.received_bytes += len(data)
            self._on_step("put", "received")
        return begun

    async def _counted(self, work: Callable[[], Awaitable[Written]]) -> Written:
        self.receiving += 1
        try:
            written = await work()
        finally:
            self.receiving -= 1
        self._count(written)
        return written

    def _count(self, written: Written) -> None:
        self._counters.puts += 1
        self._counters.older += not written.done

    def _body(self, put: Put) -> Body:
        """Raises TooLarge."""
        limits = self._limits
        return Body(put.upload, put.expected, limits.bounds, gzip=put.gzip, level=limits.level)

    async def _put(self, put: Put, claimed: bool, *, is_counted: bool = False) -> Written:
        """`claimed`: what is small has to be, too. `is_counted`: what is received was before."""
        body = self._body(put)
        is_small = self._is_small(put)
        if not is_small:
            there = await self._metadata.get(put.path)
            if there is not None and there.version_s > put.version_s:
                await self._drain(body)
                return Written(there.version_s, done=False)
        spool = self.spools.spool(has_another_way=put.expected.is_whole)
        reception = _Reception(put, body, spool, is_counted)
        try:
            if put.expected.digest and not is_small:
                return await self._put_announced(reception)
            await self._spool(reception)
            if spool.is_in_memory and not claimed:
                try:
                    return await self._put_unclaimed(reception)
                except ClaimLost:
                    self._counters.claims_lost += 1
            return await self._refer(reception)
        finally:
            await reception.spool.aclose()

    def _is_small(self, put: Put) -> bool:
        size_bytes = put.upload.size_bytes
        return size_bytes is not None and size_bytes <= self._limits.spool.memory_bytes

    async def _put_unclaimed(self, reception: _Reception) -> Written:
        put, digest = reception.put, reception.body.packer.digest
        store = partial(self._store, reception)
        async with self._writers.writing(put.path):
            return await self._unclaimed.put(
                put.path, put.version_s, digest, store, imported=put.imported
            )

    async def _put_announced(self, reception: _Reception) -> Written:
        """The claim comes first. Where it is lost when all has been received and verified, it is
        claimed anew, for what was spooled, or what somebody else has stored."""
        digest = reception.put.expected.digest
        try:
            return await self._claims.hold(digest, partial(self._receive_claimed, reception))
        except ClaimLost:
            self._counters.claims_lost += 1
            if not reception.body.packer.ended:
                raise
        return await self._refer(reception)

    async def _receive_claimed(self, reception: _Reception, claim: Claim) -> Written:
        self._on_step("put", "claimed")
        blob = claim.blob
        if blob is not None:
            await self._drain(reception.body)
        elif self._goes_straight(reception.put):
            blob = await self._pass_on(reception, claim)
        else:
            await self._spool(reception)
        async with self._writers.writing(reception.put.path):
            return await self._settle(reception, claim, blob)

    async def _refer(self, reception: _Reception) -> Written:
        digest = reception.body.packer.digest
        async with self._writers.writing(reception.put.path):
            tries = 0
            while True:
                try:
                    return await self._claims.hold(digest, partial(self._settle_claimed, reception))
                except ClaimLost:
                    self._counters.claims_lost += 1
                    tries += 1
                    if tries == TRIES:
                        raise

    async def _settle_claimed(self, reception: _Reception, claim: Claim) -> Written:
        self._on_step("put", "claimed")
        return await self._settle(reception, claim, claim.blob)

    async def _settle(self, reception: _Reception, claim: Claim, blob: Blob | None) -> Written:
        """`blob` is at S3; None: it has to get there first."""
        put = reception.put
        if blob is None:
            await self._metadata.look(put.path, claim.digest, now_s=self._now())
            blob = await self._store_spooled(reception, claim.key)
        elif blob is claim.blob:
            self._counters.skipped += 1
        written = await self._metadata.put(
            put.path, put.version_s, blob, claim, now_s=self._now(), imported=put.imported
        )
        self._on_step("put", "referred")
        return written

    # -- bodies -------------------------------------------------------------------------------

    async def _drain(self, body: Body) -> None:
        try:
            await body.drain()
        finally:
            self._counters.received_bytes += body.packer.body_bytes
        self._on_step("put", "received")

    async def _spool(self, reception: _Reception) -> None:
        body = reception.body
        try:
            while piece := await body.read():
                await reception.spool.write(piece)
        finally:
            if not reception.is_counted:
                self._counters.received_bytes += body.packer.body_bytes
        reception.is_spooled = True
        self._on_step("put", "received")

    def _goes_straight(self, put: Put) -> bool:
        return put.expected.is_whole and self._straight.value > 0

    async def _pass_on(self, reception: _Reception, claim: Claim) -> Blob:
        """Receive and store in one go. Nothing is stored of what is not as announced: then reading
        it raises before its end, and S3 is not given the rest."""
        await self._metadata.look(reception.put.path, claim.digest, now_s=self._now())
        body = reception.body
        digest, logical_bytes = reception.put.expected
        async with self._straight:
            try:
                storing = storing_of(digest, logical_bytes or 0)
                await self._bucket.store(claim.key, body, storing)
            finally:
                self._counters.received_bytes += body.packer.body_bytes
        self._counters.straight += 1
        return self._stored(body.packer, claim.key)

    async def _store_spooled(self, reception: _Reception, key: str) -> Blob:
        if not reception.is_spooled:
            raise ClaimLost("what was sent is not stored any more; send it again")
        if reception.spool.size_bytes <= self._limits.spool.memory_bytes:
            return await self._store(reception, key)
        async with self._large:
            return await self._store(reception, key)

    async def _store(self, reception: _Reception, key: str) -> Blob:
        packer = reception.body.packer
        storing = storing_of(packer.digest, packer.logical_bytes)
        await self._bucket.store(key, reception.spool.upload(), storing)
        return self._stored(packer, key)

    def _stored(self, packer: Packer, key: str) -> Blob:
        """It is, there."""
        self._on_step("put", "stored")
        self._counters.uploads += 1
        self._counters.uploaded_bytes += packer.stored_bytes
        return Blob(packer.digest, key, packer.logical_bytes, packer.stored_bytes)


@dataclass(slots=True)
class _Reception:
    """One PUT under way. The spool has all of the body where it `is_spooled`."""

    put: Put
    body: Body
    spool: Spool
    is_counted: bool
    is_spooled: bool = False
