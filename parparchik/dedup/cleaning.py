"""One pass of the cleaner. `order` has its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from parparchik.content import ObjectBytes
from parparchik.dedup.compare import Comparison, Difference, Listed, digest_in
from parparchik.dedup.order import OnStep
from parparchik.dedup.parting import pages_closed
from parparchik.dedup.reports import MAX_NAMED, CleanReport, Progress
from parparchik.dedup.types import Blob, Metadata
from parparchik.errors import UpstreamError
from parparchik.model import ListPage

_BATCH_KEYS = 1000  # the most that S3 deletes with one request
_LEAD_S = 300.0  # longer than whatever is asked of S3 or the metadata in between
_MOST_ASKED = 1000  # missing blobs that S3 is asked for one by one; then its listing is believed

_log = structlog.get_logger(__name__)


class Lister(Protocol):
    """What of a `model.ObjectStore` is needed: pages of all that lies below a prefix."""

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage: ...


@dataclass(frozen=True, slots=True)
class CleanPolicy:
    """Orphans are kept for `grace_s`, and so are objects that nobody knows of: longer than any
    clock is wrong, and than any download goes on. `owner` names the process among those that
    might clean."""

    owner: str
    prefix: str = ""
    grace_s: float = 24 * 3600.0


class NotLeading(Exception):
    """Another process is the one that cleans."""


class Pass:
    """To be used once: `look`, or `clean`. `report` is what it has come to so far."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        lister: Lister,
        policy: CleanPolicy,
        *,
        now: Callable[[], float],
        on_step: OnStep,
        progress: Progress,
        unled_s: float = 0.0,
    ) -> None:
        """`unled_s`: for how long no other process has to have led, to lead now."""
        self._unled_s = unled_s
        self._metadata = metadata
        self._bucket = bucket
        self._lister = lister
        self._policy = policy
        self._now = now
        self._on_step = on_step
        self._progress = progress
        self._orphans = self._garbage = self._deleted = self._listed = 0
        self._unknown = self._foreign = self._missing = 0
        self._failed: set[str] = set()
        self._doubtful = False
        self._missing_blobs: list[Blob] = []

    def report(self, *, led: bool = True) -> CleanReport:
        return CleanReport(
            led=led,
            orphans=self._orphans,
            garbage=self._garbage,
            deleted=self._deleted,
            failed=len(self._failed),
            listed=self._listed,
            unknown=self._unknown,
            foreign=self._foreign,
            doubtful=self._doubtful,
            missing=self._missing,
            missing_blobs=tuple(self._missing_blobs),
        )

    async def look(self) -> None:
        """Changes nothing, and so needs no lead."""
        totals = await self._metadata.totals()
        self._orphans, self._garbage = totals.orphans, totals.garbage
        await self._sweep(dry_run=True)

    async def clean(self, *, sweep: bool) -> None:
        """Raises NotLeading, UpstreamError."""
        await self._lead()
        self._on_step("clean", "led")
        await self._discard()
        await self._delete()
        if sweep:
            await self._sweep(dry_run=False)
            await self._delete()

    async def resign(self) -> None:
        """Nobody has to wait for the lead to run out."""
        await self._metadata.lead(self._policy.owner, now_s=self._now(), life_s=0.0)

    async def _lead(self) -> None:
        """Asked as of earlier: then a lead that has ended since is one that still holds."""
        asked_s = self._now() - self._unled_s
        life_s = _LEAD_S + self._unled_s
        if not await self._metadata.lead(self._policy.owner, now_s=asked_s, life_s=life_s):
            raise NotLeading

    # -- what is known ------------------------------------------------------------------------

    async def _discard(self) -> None:
        while True:
            now_s = self._now()
            discarded = await self._metadata.discard_orphans(
                older_than_s=now_s - self._policy.grace_s, now_s=now_s, limit=_BATCH_KEYS
            )
            self._on_step("clean", "discarded")
            self._orphans += discarded
            if discarded < _BATCH_KEYS:
                return
            await self._lead()

    async def _delete(self) -> None:
        """All garbage; what S3 does not delete stays garbage, for the next pass."""
        while True:
            keys = await self._metadata.garbage(limit=_BATCH_KEYS)
            self._on_step("clean", "chosen")
            if self._failed.issuperset(keys):
                return
            await self._lead()
            reasons = await self._bucket.delete_many(keys)
            self._on_step("clean", "deleted")
            for key, reason in reasons.items():
                if key not in self._failed:
                    _log.warning("an object could not be deleted", key=key, reason=reason)
            deleted = [key for key in keys if key not in reasons]
            await self._metadata.collected(deleted, now_s=self._now())
            self._on_step("clean", "collected")
            self._failed.update(reasons)
            self._failed.difference_update(deleted)
            self._deleted += len(deleted)

    # -- what is there ------------------------------------------------------------------------

    async def _sweep(self, *, dry_run: bool) -> None:
        total = (await self._metadata.totals()).blobs
        async with pages_closed(self._metadata.blobs()) as blobs:
            comparison = Comparison(blobs)
            token: str | None = None
            while True:
                page = await self._lister.list_page(token=token, prefix=self._policy.prefix)
                self._on_step("clean", "listed")
                difference = await comparison.page(self._ours(page))
                await self._judge(difference, known=total > 0, dry_run=dry_run)
                self._progress(self._listed, total)
                if page.next_token is None:
                    break
                if page.next_token == token:
                    raise UpstreamError("S3's listing goes in circles")
                token = page.next_token
                if not dry_run:
                    await self._lead()
            await self._judge(await comparison.end(), known=total > 0, dry_run=dry_run)

    def _ours(self, page: ListPage) -> list[Listed]:
        ours: list[Listed] = []
        for item in page.objects:
            digest = digest_in(item.key, self._policy.prefix)
            if digest is None:
                self._foreign += 1
            else:
                ours.append(Listed(digest, item))
        self._listed += len(ours)
        return ours

    async def _judge(self, difference: Difference, *, known: bool, dry_run: bool) -> None:
        """`known`: the metadata knows of any blob at all. Else it may be new, or a wrong one, and
        be it right, to keep what it does not know costs little."""
        old_s = self._now() - self._policy.grace_s
        strays = [item.key for item in difference.strays if item.head.last_modified_s < old_s]
        if strays and not known:
            self._doubtful = True
        elif strays and dry_run:
            self._unknown += len(strays)
        else:
            for at in range(0, len(strays), _BATCH_KEYS):
                found = await self._metadata.unknown(strays[at : at + _BATCH_KEYS])
                self._on_step("clean", "found")
                self._unknown += len(found)
        for blob in difference.absent:
            if await self._is_missing(blob, dry_run=dry_run):
                self._missing += 1
                if len(self._missing_blobs) < MAX_NAMED:
                    self._missing_blobs.append(blob)
                    _log.error("a blob is missing", digest=blob.digest, key=blob.key)

    async def _is_missing(self, blob: Blob, *, dry_run: bool) -> bool:
        """It may have been stored since, or lie where it is not listed. What S3 itself says is
        missing is lost."""
        if self._missing >= _MOST_ASKED:
            return True
        if await self._bucket.stat(blob.key) is not None:
            return False
        if not dry_run:
            await self._metadata.mark_lost(blob, now_s=self._now())
        return True
