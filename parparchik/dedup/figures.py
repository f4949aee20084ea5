"""The store in numbers: what it has done here, and what it holds, as that was a moment ago."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import trio

from parparchik.dedup.cleaner import Cleaner
from parparchik.dedup.fallthrough import FallThrough
from parparchik.dedup.opening import OpenedMetadata
from parparchik.dedup.reports import CleanReport
from parparchik.dedup.statistics import StoreStatistics
from parparchik.dedup.store import DedupStore
from parparchik.dedup.types import Totals
from parparchik.errors import UpstreamError

EVERY_S = 60.0
"""Counting all files takes a database a moment, and no scrape should wait for it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DedupStatistics:
    """`totals` are of the whole store, None until they are known; the rest is of this process.
    `asked` of the metadata: operation, how often, in vain, seconds. `cleaned` is the last whole
    pass, which ended at `cleaned_s`; `fetched` are files taken over from upstream."""

    store: StoreStatistics
    totals: Totals | None
    passes: int
    failed_passes: int
    cleaned: CleanReport | None
    asked: tuple[tuple[str, int, int, float], ...]
    fetched: int = 0
    failed_fetches: int = 0
    cleaned_s: float = 0.0


class Figures:
    """What is scraped; `run` counts anew now and then."""

    def __init__(
        self,
        store: DedupStore,
        metadata: OpenedMetadata,
        cleaner: Cleaner,
        upstream: FallThrough | None = None,
    ) -> None:
        self._store = store
        self._metadata = metadata
        self._cleaner = cleaner
        self._upstream = upstream
        self._totals: Totals | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            try:
                self._totals = await self._metadata.totals()
            except UpstreamError as error:
                log.warning("the dedup store could not be counted", reason=str(error))
            await trio.sleep(EVERY_S)

    def statistics(self) -> DedupStatistics:
        return DedupStatistics(
            store=self._store.statistics(),
            totals=self._totals,
            passes=self._cleaner.passes,
            failed_passes=self._cleaner.failures,
            cleaned=self._cleaner.last,
            asked=tuple(
                (operation, asked.count, asked.errors, asked.seconds)
                for operation, asked in sorted(self._metadata.asked.items())
            ),
            fetched=self._upstream.fetched if self._upstream is not None else 0,
            failed_fetches=self._upstream.failed if self._upstream is not None else 0,
            cleaned_s=self._cleaner.ended_s,
        )
