"""All files of a filetracker server, taken over: as often as it takes, and what is here stays.

A file that is here in the same version or a newer one is passed over, so that a run that was broken
off goes on where it was when it is begun again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from parparchik.dedup.fallthrough import imported
from parparchik.dedup.parting import pages_closed
from parparchik.dedup.paths import check_path
from parparchik.dedup.reports import MAX_NAMED, Progress, ignore_progress
from parparchik.dedup.store import DedupStore
from parparchik.dedup.types import Metadata
from parparchik.dedup.upstream import Fetched, Known
from parparchik.errors import ClientError, MetadataUnavailable, UpstreamError

TRIES = 5
FIRST_PAUSE_S = 0.5

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where files are taken from. Raises UpstreamError; only None says that there is no file."""

    def paths(self) -> AsyncIterator[str]: ...

    async def stat(self, path: str) -> Known | None: ...

    def fetch(self, path: str) -> AbstractAsyncContextManager[Fetched | None]: ...


@dataclass(slots=True)
class Migrated:
    """How many files were taken over (and how large they are there), were here already, were gone
    when their turn came, and could not be had. `reasons` names the first of the latter two."""

    copied: int = 0
    copied_bytes: int = 0
    present: int = 0
    gone: int = 0
    failed: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.copied + self.present + self.gone + self.failed

    def note(self, path: str, reason: str) -> None:
        if len(self.reasons) < MAX_NAMED:
            self.reasons.append((path, reason))


class Migration:
    """`parallel` files at a time. `report` grows."""

    def __init__(
        self,
        store: DedupStore,
        metadata: Metadata,
        source: Source,
        *,
        parallel: int = 16,
        progress: Progress = ignore_progress,
    ) -> None:
        self._store = store
        self._metadata = metadata
        self._source = source
        self._parallel = parallel
        self._progress = progress
        self.report = Migrated()

    async def run(self) -> Migrated:
        """Raises UpstreamError where the server does not give its list, and MetadataUnavailable;
        what cannot be had of a file is counted, and the rest goes on."""
        paths, work = trio.open_memory_channel[str](self._parallel)
        failures: list[UpstreamError] = []

        async def take(work: trio.MemoryReceiveChannel[str]) -> None:
            async with work:
                async for path in work:
                    try:
                        await self._copy(path)
                    except MetadataUnavailable as error:
                        failures.append(error)
                        nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery, paths:
            for _ in range(self._parallel):
                nursery.start_soon(take, work.clone())
            work.close()
            try:
                async with pages_closed(self._source.paths()) as listed:
                    async for path in listed:
                        await paths.send(path)
            except UpstreamError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return self.report

    async def _copy(self, path: str) -> None:
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                await self._try(path)
            except ClientError as error:
                # Ours, of what it sent, or of a path in whose place there is something else here.
                self._fail(path, error)
            except UpstreamError as error:
                if isinstance(error, MetadataUnavailable) and not left:
                    raise
                if left:
                    log.info("once more", path=path, reason=str(error))
                    await trio.sleep(pause_s)
                    pause_s *= 2
                    continue
                self._fail(path, error)
            break
        self._progress(self.report.done, 0)

    async def _try(self, path: str) -> None:
        report = self.report
        check_path(path)
        here = await self._metadata.get(path)
        if here is not None:
            known = await self._source.stat(path)
            if known is not None and known.version_s <= here.version_s:
                report.present += 1
                return
        async with self._source.fetch(path) as fetched:
            if fetched is None:
                report.gone += 1
                report.note(path, "404: it is not there any more")
                return
            written = await self._store.put(imported(path, fetched))
        if written.done:
            report.copied += 1
            report.copied_bytes += fetched.known.size_bytes or 0
        else:
            report.present += 1

    def _fail(self, path: str, error: Exception) -> None:
        self.report.failed += 1
        self.report.note(path, str(error))
        log.warning("a file could not be taken over", path=path, reason=str(error))
