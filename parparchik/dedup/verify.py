"""Seeing whether the metadata contradicts itself, and whether blobs are what they were.

A blob that S3 does not have, or that is not what it was, is marked as lost: its files stay, and the
next upload of that content stores it anew for all of them.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

import structlog
import trio

from parparchik.content import Download, NotModified, ObjectBytes
from parparchik.dedup.blobs import is_of
from parparchik.dedup.compress import Inflater, NotGzip
from parparchik.dedup.parting import pages_closed
from parparchik.dedup.reports import MAX_NAMED, Progress, VerifyReport, ignore_progress
from parparchik.dedup.types import Blob, Metadata, Totals
from parparchik.errors import UpstreamError

_CLOSE_S = 10.0

Verdict = Literal["sound", "missing", "damaged", "failed"]

log = structlog.get_logger(__name__)


class Verifier:
    """`chance` gives numbers from 0 to 1: a blob is read where its own is below the share."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        *,
        parallel: int = 8,
        chance: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._parallel = parallel
        self._chance = chance
        self._now = now

    async def verify(
        self, *, share: float = 1.0, mend: bool = False, progress: Progress = ignore_progress
    ) -> VerifyReport:
        """Look for faults of the metadata, and mend those that can be if `mend`; then read that
        share of all blobs, so many at a time. Raises UpstreamError where the metadata does not
        work; a blob that S3 does not give is counted, and the rest goes on."""
        faults = await self._metadata.integrity()
        mended = 0
        if mend and any(fault.mendable for fault in faults):
            mended = await self._metadata.mend(now_s=self._now())
            faults = await self._metadata.integrity()
        report = await self._verify(share, progress)
        return replace(report, mended=mended, faults=tuple(faults))

    async def _verify(self, share: float, progress: Progress) -> VerifyReport:
        totals = await self._metadata.totals()
        verifying = _Verifying(self._bucket, self._mark, self._metadata.restate, progress, totals)
        blobs, work = trio.open_memory_channel[Blob](0)
        failures: list[UpstreamError] = []

        async def run(work: trio.MemoryReceiveChannel[Blob]) -> None:
            try:
                await verifying.run(work)
            except UpstreamError as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(self._parallel):
                nursery.start_soon(run, work.clone())
            work.close()
            async with blobs:
                try:
                    await self._choose(blobs, share)
                except UpstreamError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        await self._drop_collected(verifying)
        return verifying.report()

    async def _mark(self, blob: Blob, is_lost: bool) -> bool:
        if is_lost:
            return await self._metadata.mark_lost(blob, now_s=self._now())
        return await self._metadata.mark_sound(blob)

    async def _choose(self, chosen: trio.MemorySendChannel[Blob], share: float) -> None:
        async with pages_closed(self._metadata.blobs()) as pages:
            async for page in pages:
                for blob in page:
                    if share >= 1 or self._chance() < share:
                        await chosen.send(blob)

    async def _drop_collected(self, verifying: _Verifying) -> None:
        """What is missing may have been collected meanwhile, as it should be."""
        if not verifying.missing:
            return
        missing = {blob.key: blob for blob in verifying.missing}
        verifying.missing = []
        async with pages_closed(self._metadata.blobs()) as pages:
            async for page in pages:
                verifying.missing += [blob for blob in page if blob.key in missing]
        for blob in verifying.missing:
            log.error("a blob is missing", digest=blob.digest, key=blob.key)
            await self._mark(blob, True)


class _Verifying:
    """`missing` are those that S3 did not have when it was asked. `mark` is told of what is damaged
    (True), and of what is sound, where any blob was `lost`; `restate` of what is sound and of
    another size than was stored."""

    def __init__(
        self,
        bucket: ObjectBytes,
        mark: Callable[[Blob, bool], Awaitable[bool]],
        restate: Callable[[Blob, int], Awaitable[bool]],
        progress: Progress,
        totals: Totals,
    ) -> None:
        self._bucket = bucket
        self._mark = mark
        self._restate = restate
        self._progress = progress
        self._total = totals.blobs
        self._any_lost = totals.lost > 0
        self._counts: dict[Verdict, int] = dict.fromkeys(("sound", "damaged", "failed"), 0)
        self._read_bytes = 0
        self._found = 0
        self._damaged: list[Blob] = []
        self.missing: list[Blob] = []

    def report(self) -> VerifyReport:
        return VerifyReport(
            checked=sum(self._counts.values()) + len(self.missing),
            read_bytes=self._read_bytes,
            missing=len(self.missing),
            damaged=self._counts["damaged"],
            failed=self._counts["failed"],
            bad_blobs=(*self._damaged, *self.missing)[:MAX_NAMED],
            found=self._found,
        )

    async def run(self, blobs: trio.MemoryReceiveChannel[Blob]) -> None:
        async with blobs:
            async for blob in blobs:
                verdict = await self._verify(blob)
                if verdict == "damaged":
                    await self._mark(blob, True)
                elif verdict == "sound" and self._any_lost:
                    was_lost = await self._mark(blob, False)
                    self._found += was_lost  # not before: others count meanwhile
                self._note(blob, verdict)

    def _note(self, blob: Blob, verdict: Verdict) -> None:
        if verdict == "missing":
            self.missing.append(blob)
        else:
            self._counts[verdict] += 1
        if verdict == "damaged":
            log.error("a blob is damaged", digest=blob.digest, key=blob.key)
            self._damaged = [*self._damaged, blob][:MAX_NAMED]
        self._progress(sum(self._counts.values()) + len(self.missing), self._total)

    async def _verify(self, blob: Blob) -> Verdict:
        try:
            found = await self._bucket.open(blob.key)
            if isinstance(found, NotModified):
                return "failed"
            if found is None:
                return "missing"
            try:
                if not is_of(found.representation, blob):
                    return "damaged"  # clients are not given it either
                verdict = await self._read(blob, found)
            finally:
                with trio.move_on_after(_CLOSE_S, shield=True):
                    await found.aclose()
        except UpstreamError as error:
            log.warning("a blob could not be read", digest=blob.digest, reason=str(error))
            return "failed"
        if verdict == "sound" and found.representation.size_bytes != blob.stored_bytes:
            await self._restate(blob, found.representation.size_bytes)
        return verdict

    async def _read(self, blob: Blob, download: Download) -> Verdict:
        inflater = Inflater()
        sha256 = hashlib.sha256()
        logical_bytes = 0

        def learn(piece: bytes) -> int:
            size_bytes = 0
            for content in inflater.feed(piece):
                sha256.update(content)
                size_bytes += len(content)
            return size_bytes

        try:
            while piece := await download.read():
                self._read_bytes += len(piece)
                logical_bytes += await trio.to_thread.run_sync(learn, piece)
            inflater.end()
        except NotGzip:
            return "damaged"
        is_sound = (sha256.hexdigest(), logical_bytes) == (blob.digest, blob.logical_bytes)
        return "sound" if is_sound else "damaged"
