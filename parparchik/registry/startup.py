"""From nothing to ready: manifests, or listings where there are none, then one reconciliation.

S3 that does not answer yet is waited for, however long that takes; the process serves meanwhile
what it has, verified one by one. What S3 refuses is told (`ManifestFile.last_error`) and asked
again, since a policy can be mended without a restart of ours.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import structlog
import trio

from parparchik.errors import CredentialsRefused, Denied, UpstreamError
from parparchik.registry.entries import Registry
from parparchik.registry.listing import apply, list_all
from parparchik.registry.manifest import BadManifest
from parparchik.registry.presence import Prober
from parparchik.registry.progress import Progress
from parparchik.registry.reconcile import reconcile
from parparchik.registry.verify import Resolver
from parparchik.registry.writer import ManifestFile, ManifestWriter, PersistFailed

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0

_log = structlog.get_logger(__name__)


@contextmanager
def many_objects() -> Iterator[None]:
    """No garbage collection while a million objects are made that are no garbage; afterwards
    the collector never looks at them again. Not for as long as S3 is waited for. May overlap
    with itself."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.freeze()


class Startup:
    """One start-up; `run` may be called again after a crash and goes on where it was."""

    def __init__(
        self,
        *,
        registry: Registry,
        resolver: Resolver,
        prober: Prober,
        writer: ManifestWriter,
        progress: Progress,
        max_in_flight: int,
    ) -> None:
        self._registry = registry
        self._resolver = resolver
        self._prober = prober
        self._writer = writer
        self._progress = progress
        self._max_in_flight = max_in_flight

    async def run(self) -> None:
        """Returns when the registry is true; manifests that cannot be written do not hold it up
        (a deployment may only read): the writer goes on trying."""
        self._progress.begin("reading manifests", len(self._writer.files))
        missing: list[ManifestFile] = []
        async with trio.open_nursery() as nursery:
            for file in self._writer.files:
                nursery.start_soon(self._load, file, missing)
        if missing:
            await self._backfill(missing)
        done = await reconcile(
            self._registry, self._resolver, self._prober, self._progress, self._max_in_flight
        )
        _log.info("reconciled", **asdict(done))
        self._progress.begin("writing manifests")
        try:
            await self._writer.flush()
        except PersistFailed as error:
            _log.error("manifests not written", reason=str(error))
        self._progress.begin("ready")

    async def _load(self, file: ManifestFile, missing: list[ManifestFile]) -> None:
        """One manifest into the registry; `missing` gets it where there is none to be had."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                pieces = await file.read()
                break
            except BadManifest as error:
                file.last_error = str(error)
                pieces = None
                break
            except UpstreamError as error:
                pause_s = await self._wait(pause_s, file, error)
        self._progress.advance()
        if pieces is None:
            missing.append(file)
            return
        file.last_error = ""
        read = loaded = digest = 0
        with many_objects():
            for rows in pieces:
                count, digest_of_rows = self._registry.load(file.index, rows)
                read, loaded, digest = read + len(rows), loaded + count, digest ^ digest_of_rows
                await trio.lowlevel.checkpoint()
        # The digest is that of the manifest, not of the registry: requests and /list?sync=true
        # may have changed that meanwhile, and then the manifest has to be written.
        file.adopt(digest if loaded == read else None)

    async def _backfill(self, missing: list[ManifestFile]) -> None:
        """Some manifest is missing: the buckets themselves tell what they hold, all of them,
        since a file may have moved to one whose manifest is there."""
        self._progress.begin("listing buckets")
        pause_s = FIRST_PAUSE_S
        listed = False
        while not listed:
            since = trio.current_time()
            try:
                picture = await list_all(self._prober.stores, self._progress)
            except UpstreamError as error:
                if isinstance(error, Denied) and not isinstance(error, CredentialsRefused):
                    # Who may not list may still redirect: files become known when asked for.
                    _log.error("buckets not listed", reason=str(error))
                    break
                pause_s = await self._wait(pause_s, missing[0], error)
                continue
            with many_objects():
                await apply(picture, self._registry, self._resolver, since)
            listed = True
        for file in missing:
            file.last_error = ""
            file.adopt(None, complete=listed)

    async def _wait(self, pause_s: float, file: ManifestFile, error: UpstreamError) -> float:
        """Sleep with full jitter; returns the next pause."""
        file.last_error = str(error)
        _log.warning(
            "waiting for S3",
            bucket=file.store.bucket.name,
            reason=str(error),
            retry_in_at_most_s=pause_s,
        )
        await trio.sleep(random.uniform(0, pause_s))  # noqa: S311  no secret: it spreads load
        return min(pause_s * 2, LONGEST_PAUSE_S)
