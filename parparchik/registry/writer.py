"""Writing manifests: seldom, whole, and never to make one worse.

Nobody tells the writer that something changed: it compares the registry's digest of a bucket with
the digest of what was last written, once a window. So many changes are one write, a change that
was undone is none, and nothing can be forgotten. A manifest of ours that another process replaced
meanwhile is read again and merged: what it has and we have not is added, except what we removed
ourselves.

A bucket is written only after its manifest was read or was found to be missing (`adopt`): before
that we know too little to replace anything. What could not be understood is copied before it is
replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import structlog
import trio

from parparchik.errors import PreconditionFailed, UpstreamError
from parparchik.model import ObjectStore, StoredObject
from parparchik.registry.condition import ConditionalWriter
from parparchik.registry.entries import Registry
from parparchik.registry.manifest import BadManifest, Encoder, decode, validate
from parparchik.rfc import format_iso8601

MERGE_ATTEMPTS = 5
SHORTEST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 60.0
# Who waits for a write (/update, shutdown) waits for the window, but no longer than this.
LONGEST_PACE_S = 1.0
# A large manifest costs seconds of processor time: left alone, its writer may take this share.
_BUSY_SHARE = 0.2

OUTCOMES = ("written", "merged", "failed")

_log = structlog.get_logger(__name__)


class PersistFailed(Exception):
    """The registry has the change, the manifests in S3 do not yet; the writer goes on trying."""


class ManifestUnread(PersistFailed):
    """They have not been read yet, and until they are nothing is written over them."""


class ManifestFile:
    """One bucket's manifest and what is known of the object that holds it."""

    def __init__(
        self, registry: Registry, index: int, store: ObjectStore, *, pace_s: float = 0.0
    ) -> None:
        """At least `pace_s` lie between the beginnings of two writes."""
        self.registry = registry
        self.index = index
        self.store = store
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.last_error = ""
        self.adopted = False  # whether the manifest may be written
        self._etag: str | None = None
        self._unreadable: StoredObject | None = None
        self._written_digest: int | None = None
        self._may_be_empty = True
        self._lock = trio.Lock()
        self._pace_s = pace_s
        self._not_before = -math.inf
        self._writer = ConditionalWriter(store, store.bucket.manifest_key)

    @property
    def dirty(self) -> bool:
        """Whether S3 lacks something that the registry has, and may be given it."""
        if not self.adopted or self._is_written:
            return False
        return self._may_be_empty or self.registry.count_in(self.index) > 0

    @property
    def _is_written(self) -> bool:
        return self.registry.digest(self.index) == self._written_digest

    async def read(self) -> Iterator[list[tuple[str, int]]] | None:
        """The manifest's (key, packed), in pieces, all of it sound; None when there is none. The
        next write replaces what was read: so whoever reads brings it into the registry.

        Raises UpstreamError, and BadManifest: then a copy is kept aside before anything is
        written in its place.
        """
        found = await self.store.get(self.store.bucket.manifest_key)
        if found is not None:
            try:
                for _ in validate(found.data):
                    await trio.lowlevel.checkpoint()
            except BadManifest as error:
                name = self.store.bucket.name
                _log.error("manifest unreadable", bucket=name, reason=str(error))
                self._unreadable, self._etag = found, found.head.etag
                # Only what a listing found may replace it, and an empty registry proves nothing.
                self._may_be_empty = False
                raise
        self._unreadable = None
        self._etag = None if found is None else found.head.etag
        return None if found is None else decode(found.data, self.store.bucket, self.index)

    async def _keep_aside(self, found: StoredObject) -> None:
        stamp = format_iso8601(found.head.last_modified_s).replace(":", "").replace("-", "")
        key = f"{self.store.bucket.manifest_key}.unreadable-{stamp}"
        if await self.store.head(key) is None:
            await self.store.put(key, [found.data], content_type="application/octet-stream")
        self._unreadable = None
        _log.error("manifest kept aside", bucket=self.store.bucket.name, key=key)

    def adopt(self, written_digest: int | None, *, complete: bool = True) -> None:
        """From now on the manifest may be written. `written_digest` is that of the entries that
        it holds; None when it has to be written whatever the registry holds. Not `complete`: the
        bucket may hold what the registry lacks, so an empty manifest would be a lie."""
        self._written_digest = written_digest
        self._may_be_empty = self._may_be_empty and complete
        self.adopted = True

    async def write(self) -> bool:
        """Bring S3 up to the registry; whether there was anything to write. Begins `pace_s`
        after the last write began, at the earliest.

        Raises UpstreamError.
        """
        async with self._lock:
            if not self.dirty:
                if self.adopted and self._is_written:
                    self.registry.take_removed(self.index)  # the manifest lacks them already
                return False
            # Who comes meanwhile waits for the lock, and finds its change written with ours.
            await trio.sleep_until(self._not_before)
            self._not_before = trio.current_time() + self._pace_s
            removed = self.registry.take_removed(self.index)
            try:
                await self._write(removed)
            except BaseException as error:
                self.registry.restore_removed(self.index, removed)
                if isinstance(error, UpstreamError):
                    self.outcomes["failed"] += 1
                    self.last_error = str(error)
                raise
            self.last_error = ""
            return True

    async def _write(self, removed: set[str]) -> None:
        for _ in range(MERGE_ATTEMPTS):
            if self._unreadable is not None:
                await self._keep_aside(self._unreadable)
            encoder = Encoder(self.store.bucket, self.index)
            body = []
            for piece in encoder.encode(self.registry.slices()):
                body.append(piece)
                await trio.lowlevel.checkpoint()
            try:
                self._etag = await self._writer.replace(body, self._etag)
            except PreconditionFailed:
                await self._merge(removed)
                if not self.dirty:
                    return
                continue
            self._written_digest = encoder.digest
            self._may_be_empty = True
            self.outcomes["written"] += 1
            return
        raise PreconditionFailed(
            f"the manifest of bucket {self.store.bucket.name!r} changes faster than it can be "
            f"merged ({MERGE_ATTEMPTS} attempts)"
        )

    async def _merge(self, removed: set[str]) -> None:
        seen_etag = self._etag
        try:
            pieces = await self.read() or ()
        except BadManifest:
            return  # there is nothing to be had from it
        try:
            for rows in pieces:
                self.registry.load(
                    self.index,
                    [
                        row
                        for row in rows
                        if row[0] not in removed
                        and not self.registry.was_removed(row[0], self.index)
                    ],
                )
                await trio.lowlevel.checkpoint()
        except BaseException:
            # Half merged is not merged: what is in S3 may not be replaced yet.
            self._etag = seen_etag
            raise
        self.outcomes["merged"] += 1
        _log.info("manifest merged", bucket=self.store.bucket.name)


class ManifestWriter:
    """All manifests, and the loop that keeps them up to date."""

    def __init__(self, registry: Registry, stores: Sequence[ObjectStore], window_s: float) -> None:
        pace_s = min(window_s, LONGEST_PACE_S)
        self.files = tuple(
            ManifestFile(registry, i, store, pace_s=pace_s) for i, store in enumerate(stores)
        )
        self._window_s = max(window_s, SHORTEST_PAUSE_S)

    async def flush(self, files: Sequence[ManifestFile] | None = None) -> None:
        """Write what is dirty, of `files` or of all, in parallel and as soon as the window
        allows: so a row of changes, each waited for, is one write a window. Raises
        PersistFailed."""
        failed: list[str] = []

        async def write(file: ManifestFile) -> None:
            try:
                await file.write()
            except UpstreamError as error:
                failed.append(f"{file.store.bucket.name}: {error}")

        dirty = [file for file in (self.files if files is None else files) if file.dirty]
        if not dirty:
            return
        async with trio.open_nursery() as nursery:
            for file in dirty:
                nursery.start_soon(write, file)
        if failed:
            raise PersistFailed("; ".join(failed))

    async def run(self) -> None:
        """Write each manifest at most once a window, until cancelled."""
        async with trio.open_nursery() as nursery:
            for file in self.files:
                nursery.start_soon(self._keep, file)

    async def _keep(self, file: ManifestFile) -> None:
        failures = 0
        pause_s = self._window_s
        while True:
            await trio.sleep(pause_s)
            begun = trio.current_time()
            try:
                await file.write()
            except UpstreamError as error:
                failures += 1
                pause_s = min(self._window_s * (1 << min(failures, 10)), LONGEST_PAUSE_S)
                _log.warning(
                    "manifest not written",
                    bucket=file.store.bucket.name,
                    reason=str(error),
                    retry_in_s=pause_s,
                )
            else:
                failures = 0
                took_s = trio.current_time() - begun
                pause_s = max(self._window_s, took_s * (1 / _BUSY_SHARE - 1))
