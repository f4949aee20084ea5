"""The examination of the dedup store: its bucket as it uses it, and what it stands on beside that.

Blobs are never touched. Writing is tried with an object of its own below the prefix, which the
cleaner would leave alone as nothing of ours, and which is deleted in the end: the store has to be
able to delete, too. In the metadata a change is made and taken back.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import trio

from parparchik.cli.findings import Finding, Step, take
from parparchik.cli.grants import delete_objects, list_bucket, read_objects, write_objects
from parparchik.config.model import DedupConfig
from parparchik.content import NotModified, ObjectBytes, Storing
from parparchik.dedup import FiletrackerServer, Keys, inspect_metadata
from parparchik.errors import ConfigError
from parparchik.model import ObjectStore

_PROBE = gzip.compress(b"Written by `parparchik check`. It may be deleted.\n", mtime=0)
_KEPT = (("content-encoding", "gzip"), ("x-amz-meta-parparchik", "check"))

_READ, _DELETE = "dedup read", "dedup delete"


class DedupExamination:
    """`bucket` and `lister` are of the store's bucket; `may_write` False leaves out what writes."""

    def __init__(
        self, settings: DedupConfig, bucket: ObjectBytes, lister: ObjectStore, *, may_write: bool
    ) -> None:
        self.findings: list[Finding] = []
        self._settings = settings
        self._bucket = bucket
        self._lister = lister
        self._may_write = may_write
        self._probe = f"{settings.prefix}.parparchik-check"
        self._has_objects = False

    async def run(self) -> None:
        """See `findings.take`. S3, the database and the rest each fail for themselves."""
        for steps in (self._of_bucket(), [Step("dedup metadata", self._metadata)], self._beside()):
            await take(steps, self.findings)

    def _of_bucket(self) -> list[Step]:
        bucket, prefix = self._lister.bucket, self._settings.prefix
        steps = [Step("dedup list", self._list, list_bucket(bucket))]
        if self._may_write:
            steps += [
                Step("dedup write", self._write, write_objects(bucket, prefix)),
                Step(_READ, self._read, read_objects(bucket, prefix)),
                Step(_DELETE, self._delete, delete_objects(bucket, prefix)),
            ]
        return steps

    def _beside(self) -> list[Step]:
        steps = [Step("dedup spool", partial(trio.to_thread.run_sync, self._spool))]
        if self._settings.upstream:
            steps.append(Step("dedup upstream", self._upstream))
        return steps

    async def _list(self) -> Finding:
        page = await self._lister.list_page(prefix=self._settings.prefix)
        self._has_objects = any(one.key != self._probe for one in page.objects)
        more = " and more" if page.next_token else ""
        where = f"below {self._settings.prefix!r}" if self._settings.prefix else "in the bucket"
        return Finding("dedup list", True, f"objects {where}: {len(page.objects)}{more}")

    async def _write(self) -> Finding:
        storing = Storing("application/octet-stream", headers=_KEPT)
        await self._bucket.store(self._probe, _Probe(), storing)
        return Finding("dedup write", True, f"tried on {self._probe}")

    async def _read(self) -> Finding:
        """Byte by byte what was stored: some decompress what they hand out."""
        download = await self._bucket.open(self._probe)
        if download is None or isinstance(download, NotModified):
            return Finding(_READ, False, f"{self._probe} was stored, and a GET says 404")
        data = b""
        try:
            while piece := await download.read():
                data += piece
        finally:
            await download.aclose()
        if data != _PROBE:
            told = "S3, or a proxy before it, changes contents that have Content-Encoding: gzip"
            return Finding(_READ, False, f"{told}: the store needs them as they are")
        found = download.representation
        lost = [name for name, value in _KEPT if found.header(name) != value]
        if lost:
            told = f"S3 does not keep {', '.join(lost)}: the store could not be made again from it"
            return Finding(_READ, False, told)
        if found.header("x-amz-version-id") not in ("", "null"):
            told = "the bucket keeps versions: what is deleted goes on costing until a lifecycle"
            return Finding(_READ, None, f"{told} rule ends old versions")
        return Finding(_READ, True, "as it was stored")

    async def _delete(self) -> Finding:
        """As the cleaner does, many with one request."""
        grant = delete_objects(self._lister.bucket, self._settings.prefix)
        reasons = await self._bucket.delete_many([self._probe])
        if reasons:
            return Finding(_DELETE, False, "; ".join(reasons.values()), grant)
        if await self._bucket.stat(self._probe) is not None:
            return Finding(_DELETE, False, f"{self._probe} was deleted, and is still there")
        return Finding(_DELETE, True, "gone again")

    async def _metadata(self) -> Finding:
        settings, name = self._settings, "dedup metadata"
        keys = Keys(settings.prefix, settings.key_depth, settings.bucket)
        seen = await inspect_metadata(settings.metadata, keys, may_write=self._may_write)
        doubts = list(seen.doubts)
        if seen.is_new and self._has_objects:
            doubts.append(
                "it knows of no file, and the bucket has objects there: is it the right one, or is"
                " there a backup to `parparchik dedup import`?"
            )
        detail = ". ".join((seen.found, *seen.dangers, *doubts))
        passed = False if seen.dangers else None if doubts else True
        return Finding(name, passed, detail)

    def _spool(self) -> Finding:
        """In a thread."""
        name = "dedup spool"
        directory = self._settings.spool_directory or Path(tempfile.gettempdir())
        if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
            raise ConfigError(
                f"PARPARCHIK_DEDUP_SPOOL_DIR: {directory} is no directory that can be written"
            )
        free_bytes = shutil.disk_usage(directory).free
        if free_bytes < self._settings.spool_bytes:
            told = f"{directory} has {free_bytes >> 20} MiB free, less than PARPARCHIK_DEDUP_SPOOL"
            return Finding(name, None, f"{told} ({self._settings.spool_bytes >> 20} MiB)")
        return Finding(name, True, str(directory))

    async def _upstream(self) -> Finding:
        async with FiletrackerServer(self._settings.upstream) as server:
            await server.stat("parparchik-check")
        return Finding("dedup upstream", True, "answers")


class _Probe:
    """An Upload of the probe."""

    def __init__(self) -> None:
        self._pieces = [_PROBE]

    @property
    def size_bytes(self) -> int | None:
        return len(_PROBE)

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""
