"""A store that takes over the files of a filetracker server while both are in use.

What is not here is asked for there, once for all who want it at the time, and kept. What was
deleted here leaves a tombstone, so that it does not come back; of a path that is not known here,
the server says which version there is. Lists have what is here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from parparchik.dedup.parting import Closing
from parparchik.dedup.put import Put
from parparchik.dedup.receive import Expected
from parparchik.dedup.soon import Then
from parparchik.dedup.store import DedupStore, Opened
from parparchik.dedup.types import Blob, File, Metadata, Written
from parparchik.dedup.upstream import Fetched, FiletrackerServer, Known
from parparchik.errors import ClientError, Overloaded, PathConflict, Unavailable, UpstreamError

MAX_FETCHES = 16
_MAX_FLIGHTS = 1024  # waiting for their turn, too

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Flight:
    """One file on its way, and what became of it."""

    done: trio.Event = field(default_factory=trio.Event)
    error: UpstreamError | None = None


class FallThrough:
    """`mount.Store` of `store` and, behind it, `server`. `fetched` counts files that were taken
    over, `failed` those that could not be."""

    def __init__(self, store: DedupStore, metadata: Metadata, server: FiletrackerServer) -> None:
        self._store = store
        self._metadata = metadata
        self._server = server
        self._nursery: trio.Nursery | None = None
        self._flights: dict[str, _Flight] = {}
        self._fetching = trio.CapacityLimiter(MAX_FETCHES)
        self.fetched = 0
        self.failed = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Nothing is fetched before this has started."""
        async with self._server, trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def stat(self, path: str) -> File | None:
        file = await self._store.stat(path)
        if file is not None:
            return file
        known = await self._there(path)
        if known is None:
            return None
        if known.gzip and known.size_bytes is not None and known.logical_bytes is not None:
            # A HEAD of a large file is answered at once; its digest nobody knows yet.
            return File(path, known.version_s, Blob("", "", known.logical_bytes, known.size_bytes))
        await self._fetch(path)
        return await self._metadata.get(path)

    async def open(self, path: str, *, gzip: bool = True) -> Opened | None:
        opened = await self._store.open(path, gzip=gzip)
        if opened is not None:
            return opened
        tombstone = await self._metadata.tombstone(path)
        if tombstone is not None and await self._there(path) is None:
            return None
        await self._fetch(path)
        return await self._store.open(path, gzip=gzip)

    async def put(self, put: Put) -> Written:
        known = await self._unknown_here(put.path)
        if known is not None and known.version_s > put.version_s:
            return Written(known.version_s, done=False)
        return await self._store.put(put)

    def put_soon(self, put: Put, data: bytes, then: Then) -> bool:
        return False  # the server has to be asked

    async def delete(self, path: str, version_s: int) -> Written:
        known = await self._unknown_here(path)
        if known is not None and known.version_s > version_s:
            return Written(known.version_s, done=False)
        written = await self._store.delete(path, version_s, tombstone=True)
        return written if known is None else Written(None, done=True)

    def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        return self._store.list(folder, until_s=until_s)

    def part(self, closing: Closing) -> None:
        self._store.part(closing)

    async def _unknown_here(self, path: str) -> Known | None:
        """What the server has of it, where we know nothing of it, dead or alive."""
        if await self._metadata.get(path) is not None:
            return None
        return await self._there(path)

    async def _there(self, path: str) -> Known | None:
        """What the server has of it, unless that is what was deleted here."""
        known = await self._server.stat(path)
        if known is None:
            return None
        tombstone = await self._metadata.tombstone(path)
        return known if tombstone is None or known.version_s > tombstone else None

    async def _fetch(self, path: str) -> None:
        """Have it here, if it is there. Raises UpstreamError."""
        flight = self._flights.get(path)
        if flight is None:
            if self._nursery is None:
                raise Unavailable("the dedup store is not running")
            if len(self._flights) >= _MAX_FLIGHTS:
                raise Overloaded("too many files are being fetched already")
            flight = self._flights[path] = _Flight()
            self._nursery.start_soon(self._fly, path, flight)
        await flight.done.wait()
        if flight.error is not None:
            raise flight.error

    async def _fly(self, path: str, flight: _Flight) -> None:
        """In a nursery of ours: whoever asked first may leave, and the others still get it."""
        flight.error = Unavailable("the dedup store ends")
        try:
            async with self._fetching, self._server.fetch(path) as fetched:
                if fetched is not None:
                    await self._keep(path, fetched)
            flight.error = None
        except UpstreamError as error:
            flight.error = error
        except Exception as error:
            log.exception("a file could not be fetched", path=path)
            flight.error = UpstreamError(f"the file could not be fetched: {type(error).__name__}")
        finally:
            self.failed += flight.error is not None
            del self._flights[path]
            flight.done.set()

    async def _keep(self, path: str, fetched: Fetched) -> None:
        try:
            written = await self._store.put(imported(path, fetched))
        except PathConflict:
            # Since then a file was put above or below it, which has taken its place.
            return
        except ClientError as error:
            raise UpstreamError(f"what the filetracker server sent is wrong: {error}") from error
        self.fetched += written.done


def imported(path: str, fetched: Fetched) -> Put:
    """What takes over a file, unless it is here in that version or a newer one, or was deleted."""
    known = fetched.known
    return Put(
        path,
        known.version_s,
        fetched,
        gzip=known.gzip,
        expected=Expected("", known.logical_bytes),
        imported=True,
    )
