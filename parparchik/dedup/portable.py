"""References as JSON lines: a backup of what S3 does not know, and the way back.

The first line names the format; each of the others is a file, or, with `deleted`, a tombstone:
where an upstream is fetched from, a store that is restored without them would bring back what was
deleted. Sizes stand in them for people to read: what is imported goes by what S3 says of its
content, so that nothing ever refers to a blob that is not there.

Tombstones come after files: a file that is deleted while others are written is in the export as a
file, as a tombstone, or as both, and never as neither. The last line says how many there are of
both, so that a part is not taken for the whole. Version 1 of the format had neither.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Literal, NamedTuple

import msgspec
import trio

from parparchik.content import Download, NotModified, ObjectBytes, Representation
from parparchik.dedup.blobs import logical_bytes_of, storing_of
from parparchik.dedup.bounds import NEWEST_S
from parparchik.dedup.claims import Claims
from parparchik.dedup.compress import Bounds
from parparchik.dedup.parting import pages_closed
from parparchik.dedup.paths import check_path
from parparchik.dedup.receive import Body, Expected
from parparchik.dedup.reports import MAX_NAMED, ImportReport, Progress, ignore_progress
from parparchik.dedup.types import Blob, Claim, File, Metadata, Written
from parparchik.dedup.writers import Writers
from parparchik.errors import ClientError, UpstreamError

FORMAT = "parparchik dedup"
FORMAT_VERSION = 2
_KNOWN_VERSIONS = (1, 2)

_Outcome = Literal["imported", "tombstone", "older", "missing", "bad"]

_CLAIM_LIFE_S = 120.0
_CLOSE_S = 10.0
_NO_BOUNDS = Bounds(1 << 62, 1 << 62, 1 << 62, max_padding=1 << 62)  # it has been let in before
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Head(msgspec.Struct, frozen=True):
    format: str
    version: int


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a file; of a tombstone where `deleted`, which has no `digest`."""

    path: str
    version: int
    deleted: bool = False
    digest: str = ""
    key: str = ""
    logical_bytes: int = 0
    stored_bytes: int = 0


class End(msgspec.Struct, frozen=True):
    """The last line of a whole export."""

    end: bool
    files: int
    tombstones: int


_END = b'{"end":'  # what no other line begins with


class Exported(NamedTuple):
    files: int
    tombstones: int


class MissingContent(UpstreamError):
    """S3 does not have what a line refers to."""


class BadExport(ClientError):
    """A line is none of an export."""


async def export(
    metadata: Metadata,
    write: Callable[[bytes], Awaitable[object]],
    *,
    progress: Progress = ignore_progress,
) -> Exported:
    """All files, in the order of their paths, and all tombstones; how many. What changes meanwhile
    may be in it or not."""
    encode = msgspec.json.encode
    await write(encode(Head(FORMAT, FORMAT_VERSION)) + b"\n")
    done, total = 0, (await metadata.totals()).files
    async with pages_closed(metadata.list("", until_s=NEWEST_S)) as pages:
        async for page in pages:
            await write(b"".join([encode(_line(file)) + b"\n" for file in page]))
            done += len(page)
            progress(done, total)
    dead = 0
    async with pages_closed(metadata.tombstones()) as pages_of_dead:
        async for buried in pages_of_dead:
            lines = [Line(path, version_s, deleted=True) for path, version_s in buried]
            await write(b"".join([encode(line) + b"\n" for line in lines]))
            dead += len(buried)
    await write(encode(End(True, done, dead)) + b"\n")
    return Exported(done, dead)


def _line(file: File) -> Line:
    blob = file.blob
    return Line(
        file.path,
        file.version_s,
        digest=blob.digest,
        key=blob.key,
        logical_bytes=blob.logical_bytes,
        stored_bytes=blob.stored_bytes,
    )


class Importer:
    """Puts files back, each as an upload of its version would: what is newer stays. Tombstones
    delete nothing that is there."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        *,
        parallel: int = 16,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._parallel = parallel
        self._now = now
        self._claims = Claims(metadata, life_s=_CLAIM_LIFE_S, now=now)
        self._one_per_digest = Writers(parallel)

    async def run(
        self, lines: AsyncIterator[bytes], *, progress: Progress = ignore_progress
    ) -> ImportReport:
        """Lines that cannot be imported are counted, and the rest goes on. Raises BadExport for
        what is no export at all, and UpstreamError where S3 or the metadata do not answer: it can
        be done again from the beginning then."""
        version = _check_head(await anext(lines, b""))
        importing = _Importing(progress)
        seen, is_whole = 0, version == 1
        numbered, work = trio.open_memory_channel[tuple[int, bytes]](self._parallel)
        failures: list[UpstreamError] = []

        async def import_lines(work: trio.MemoryReceiveChannel[tuple[int, bytes]]) -> None:
            async with work:
                async for number, line in work:
                    try:
                        await importing.note(number, partial(self._import, line))
                    except UpstreamError as error:
                        failures.append(error)
                        nursery.cancel_scope.cancel()

        async with trio.open_nursery() as renewing:
            await renewing.start(self._claims.run)
            async with trio.open_nursery() as nursery, numbered:
                for _ in range(self._parallel):
                    nursery.start_soon(import_lines, work.clone())
                work.close()
                number = 1
                async for line in lines:
                    number += 1
                    if line.startswith(_END):
                        is_whole = _ends(line, seen)
                    elif line.strip():
                        seen += 1
                        await numbered.send((number, line))
            renewing.cancel_scope.cancel()
        if failures:
            raise failures[0]
        return importing.report(is_whole=is_whole)

    async def _import(self, line: bytes) -> _Outcome:
        try:
            wanted = msgspec.json.decode(line, type=Line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadExport(f"the line makes no sense: {error}") from error
        if not wanted.path:
            raise BadExport("the path is empty")
        check_path(wanted.path)
        if wanted.deleted:
            is_news = await self._metadata.bury(wanted.path, wanted.version)
            return "tombstone" if is_news else "older"
        if not _DIGEST.fullmatch(wanted.digest):
            raise BadExport("the digest is not 64 hexadecimal digits")
        # Who comes second finds the blob, and needs no key of its own.
        async with self._one_per_digest.writing(wanted.digest):
            written = await self._claims.hold(wanted.digest, partial(self._refer, wanted))
        return "imported" if written.done else "older"

    async def _refer(self, wanted: Line, claim: Claim) -> Written:
        blob = claim.blob or await self._adopt(wanted, claim)
        return await self._metadata.put(wanted.path, wanted.version, blob, claim, now_s=self._now())

    async def _adopt(self, wanted: Line, claim: Claim) -> Blob:
        """The content at the claim's key; if it is not there, a copy of what the line names. (Its
        own key may not be referred to: it might be garbage, and about to be deleted.)"""
        found = await self._bucket.stat(claim.key)
        logical_bytes = logical_bytes_of(found, claim.digest) if found is not None else None
        if found is None or logical_bytes is None:
            found, logical_bytes = await self._copy(wanted, claim)
        return Blob(claim.digest, claim.key, logical_bytes, found.size_bytes)

    async def _copy(self, wanted: Line, claim: Claim) -> tuple[Representation, int]:
        download = await self._bucket.open(wanted.key) if wanted.key else None
        if download is None or isinstance(download, NotModified):
            raise MissingContent(f"S3 does not have the content {claim.digest}")
        try:
            found = download.representation
            logical_bytes = logical_bytes_of(found, claim.digest)
            if logical_bytes is None:
                raise MissingContent(f"{wanted.key} is not the content {claim.digest}")
            expected = Expected(claim.digest, logical_bytes)
            body = Body(_Copied(download), expected, _NO_BOUNDS, gzip=True, level=0)
            await self._bucket.store(claim.key, body, storing_of(claim.digest, logical_bytes))
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                await download.aclose()
        return found, logical_bytes


class _Copied:
    """`model.Upload` of a download."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self.size_bytes = download.span.size_bytes

    async def read(self) -> bytes:
        return await self._download.read()


class _Importing:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._counts: Counter[_Outcome] = Counter()
        self._reasons: list[tuple[int, str]] = []

    def report(self, *, is_whole: bool) -> ImportReport:
        return ImportReport(
            imported=self._counts["imported"],
            tombstones=self._counts["tombstone"],
            older=self._counts["older"],
            missing=self._counts["missing"],
            bad=self._counts["bad"],
            reasons=tuple(sorted(self._reasons)),
            is_whole=is_whole,
        )

    async def note(self, number: int, work: Callable[[], Awaitable[_Outcome]]) -> None:
        try:
            outcome = await work()
        except MissingContent as error:
            outcome = "missing"
            self._reason(number, error)
        except ClientError as error:
            outcome = "bad"
            self._reason(number, error)
        self._counts[outcome] += 1
        self._progress(self._counts.total(), 0)

    def _reason(self, number: int, error: Exception) -> None:
        if len(self._reasons) < MAX_NAMED:
            self._reasons.append((number, str(error)))


def _ends(line: bytes, seen: int) -> bool:
    """Whether no line is missing of an export that ends with this one, after so many others."""
    try:
        end = msgspec.json.decode(line, type=End)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return end.files + end.tombstones <= seen


def _check_head(line: bytes) -> int:
    """The version of the format. Raises BadExport."""
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadExport(f"the first line does not say that this is an export: {error}") from error
    if head.format != FORMAT or head.version not in _KNOWN_VERSIONS:
        raise BadExport(f"cannot import version {head.version} of the format {head.format!r}")
    return head.version
