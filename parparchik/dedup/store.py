"""The store: files that come, go and are read. `order` has the steps of what changes it, with the
invariant that each of them keeps; `putting` is the one operation with more than one step.

A GET asks the metadata, then S3. Where S3 has no such object, the file may just have been
overwritten and its old blob collected: the metadata is asked once more. If it still refers to an
object that is not there, that is a failure (502), and never an absence. The blob is marked as lost
then, so that the next PUT of that content, to whatever path, stores it again, for all its files. A
failure of S3's marks nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

import structlog
import trio

from parparchik.content import Download, NotModified, ObjectBytes
from parparchik.dedup.blobs import is_of
from parparchik.dedup.order import OnStep, ignore_step
from parparchik.dedup.parting import Closing, Parting
from parparchik.dedup.put import Put, PutLimits
from parparchik.dedup.putting import Puts
from parparchik.dedup.reading import InflatedContent, StoredContent
from parparchik.dedup.soon import Then
from parparchik.dedup.statistics import Counters, StoreStatistics
from parparchik.dedup.types import Blob, File, Metadata, Written
from parparchik.dedup.writers import Writers
from parparchik.errors import Unavailable, UpstreamError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A file and its content, of `size_bytes` as it is sent: gzip where `gzip`. Whoever takes it
    closes the content."""

    file: File
    content: StoredContent
    gzip: bool
    size_bytes: int


class _BlobLost(UpstreamError):
    """S3 does not have what a file refers to; told by S3 itself."""


class DedupStore:
    """`bucket` has the blobs, `metadata` everything else. `now` is the wall clock."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        limits: PutLimits,
        *,
        now: Callable[[], float] = time.time,
        on_step: OnStep = ignore_step,
    ) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._now = now
        self._on_step = on_step
        self._counters = Counters()
        self._writers = Writers(limits.max_waiting_writers)
        self._puts = Puts(
            metadata, bucket, limits, self._counters, self._writers, now=now, on_step=on_step
        )
        self._parting = Parting()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Nothing can be opened before this has started, and what takes long to
        be put is only held while it runs."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._puts.run)
            await self._parting.run(task_status)

    def part(self, closing: Closing) -> None:
        """Close it by and by."""
        self._parting.part(closing)

    def count_hit(self) -> None:
        """Somebody was given a file that was opened before."""
        self._counters.hits += 1

    async def stat(self, path: str) -> File | None:
        return self._counted(await self._metadata.get(path))

    async def open(self, path: str, *, gzip: bool = True) -> Opened | None:
        """`gzip`: the client takes it as it is stored. Reading it raises Truncated when the rest
        will never come, or is not what was stored. Raises UpstreamError where the blob is missing.
        """
        if not self._parting.is_running:
            raise Unavailable("the dedup store is not running")
        file = self._counted(await self._metadata.get(path))
        if file is None:
            return None
        try:
            file, download = await self._download(file)
        except _BlobLost as error:
            again = await self._open_again(file, error)
            if again is None:
                return None
            file, download = again
        if gzip:
            content = StoredContent(download, self.part)
            return Opened(file, content, gzip, file.blob.stored_bytes)
        content = InflatedContent(download, self.part, file.blob.logical_bytes)
        return Opened(file, content, gzip, file.blob.logical_bytes)

    async def put(self, put: Put) -> Written:
        """Raises BadDigest, NotGzip and TooLarge for what is wrong with the body, PathConflict,
        Overloaded, and UpstreamError: in any case nothing has changed, or, where the metadata
        did not answer, it is not known, and it may be done again."""
        return await self._puts.put(put)

    def put_soon(self, put: Put, data: bytes, then: Then) -> bool:
        """As Puts.put_soon."""
        return self._puts.put_soon(put, data, then)

    async def delete(self, path: str, version_s: int, *, tombstone: bool = False) -> Written:
        """As Metadata.delete."""
        async with self._writers.writing(path):
            written = await self._metadata.delete(
                path, version_s, tombstone=tombstone, now_s=self._now()
            )
        self._on_step("delete", "dropped")
        self._counters.deletes += 1
        self._counters.older += not written.done and written.version_s is not None
        return written

    def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]:
        """As Metadata.list."""
        return self._metadata.list(folder, until_s=until_s)

    def statistics(self) -> StoreStatistics:
        puts, writers = self._puts, self._writers
        return StoreStatistics(
            counters=replace(self._counters),
            refused=puts.refused + puts.spools.refused + writers.refused,
            receiving=puts.receiving,
            waiting_writers=writers.waiting,
            spooled_memory_bytes=puts.spools.memory_used_bytes,
            spooled_disk_bytes=puts.spools.disk_used_bytes,
        )

    async def _download(self, file: File) -> tuple[File, Download]:
        """The file as S3 has it. Raises _BlobLost where S3 has none, or another one than was
        stored; UpstreamError."""
        blob = file.blob
        found = await self._bucket.open(blob.key)
        if found is None:
            raise _BlobLost(f"the blob {blob.digest} is missing")
        if isinstance(found, NotModified):
            raise UpstreamError("S3 answered 304 to a question without a condition")
        if not is_of(found.representation, blob):
            self.part(found)
            raise _BlobLost(f"the blob {blob.digest} has another size than was stored")
        if found.representation.size_bytes != blob.stored_bytes:
            try:
                blob = await self._restated(blob, found.representation.size_bytes)
            except BaseException:
                self.part(found)
                raise
        return file._replace(blob=blob), found

    async def _restated(self, blob: Blob, stored_bytes: int) -> Blob:
        try:
            await self._metadata.restate(blob, stored_bytes)
        except UpstreamError as failure:  # who reads it next does
            _log.warning("a blob's size was not set right", digest=blob.digest, reason=str(failure))
        return blob._replace(stored_bytes=stored_bytes)

    async def _open_again(self, seen: File, error: _BlobLost) -> tuple[File, Download] | None:
        """Of what is at the path now. Raises _BlobLost where that is lost, and marks it so."""
        file = await self._metadata.get(seen.path)
        if file is None:
            return None
        if file.blob.key != seen.blob.key:
            try:
                return await self._download(file)
            except _BlobLost as again:
                error = again
        await self._mark_lost(file, error)
        raise error

    async def _mark_lost(self, file: File, error: _BlobLost) -> None:
        self._counters.missing += 1
        path, (digest, key, *_) = file.path, file.blob
        _log.error("a blob is lost", path=path, digest=digest, key=key, reason=str(error))
        try:
            await self._metadata.mark_lost(file.blob, now_s=self._now())
        except UpstreamError as failure:  # who reads it next does
            _log.warning("a lost blob was not marked", digest=digest, reason=str(failure))
        else:
            self._on_step("read", "lost")

    def _counted(self, file: File | None) -> File | None:
        if file is None:
            self._counters.misses += 1
        else:
            self._counters.hits += 1
        return file
