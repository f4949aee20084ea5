"""Storing an object in parts, and leaving nothing behind where that fails.

One part is sent while the next one is read. S3 keeps parts, and lets them be paid for, until they
are completed or aborted: so from the moment that S3 has named the upload, whatever goes wrong,
a cancellation included, ends in an abort.

Rules: Amazon S3 user guide, "Uploading and copying objects using multipart upload", limits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog
import trio

from parparchik.content import Representation
from parparchik.errors import ParparchikError, TooLarge, UpstreamError
from parparchik.s3.asking import Asking
from parparchik.s3.conditions import check_conditions
from parparchik.s3.failures import Operation, Rejection
from parparchik.s3.parts import Part, PartReader
from parparchik.s3.representation import quoted
from parparchik.s3.request import PiecewiseBody
from parparchik.s3.response import Reply
from parparchik.s3.xml import parse_error
from parparchik.s3.xml_writes import complete_document, parse_completed_etag, parse_upload_id

PART_BYTES = 15 << 20  # larger bodies go in parts; two of them are in memory at a time
LARGE_PART_BYTES = 32 << 20  # where those would be too many, up to this; one of them is
MAX_PARTS = 10_000
SLOWEST_BYTES_S = 64 * 1024  # a part has this much time on top of an operation's
UPLOAD_OPERATIONS: tuple[Operation, ...] = (
    "create_upload", "upload_part", "complete_upload", "abort_upload",
)  # fmt: skip

_ABORT_S = 10.0  # how long nobody's cancellation can keep an upload from being aborted
_MD5 = re.compile(r'"([0-9a-f]{32})"')

A = TypeVar("A")
B = TypeVar("B")

_log = structlog.get_logger(__name__)


def part_bytes_of(size_bytes: int | None, wanted: int = 0) -> int:
    """How large the parts of a body must be, or, where that is enough, as `wanted`. Raises TooLarge
    for what a large part in memory at a time cannot carry."""
    if 0 < wanted <= PART_BYTES and (size_bytes or 0) <= wanted * MAX_PARTS:
        return wanted
    if size_bytes is None or size_bytes <= PART_BYTES * MAX_PARTS:
        return PART_BYTES
    if size_bytes <= LARGE_PART_BYTES * MAX_PARTS:
        return -(-size_bytes // MAX_PARTS)
    raise TooLarge(f"no more than {LARGE_PART_BYTES * MAX_PARTS} bytes can be stored in parts")


class Multipart:
    """Stores at `path` (encoded) of the bucket that `asking` asks, where `stat` says what is
    there. `total_s` is the time for an operation without a body."""

    __slots__ = ("_asking", "_path", "_stat", "_total_s", "_upload")

    def __init__(
        self,
        asking: Asking,
        path: str,
        stat: Callable[[], Awaitable[Representation | None]],
        *,
        total_s: float,
    ) -> None:
        self._asking = asking
        self._path = path
        self._stat = stat
        self._total_s = total_s
        self._upload = ""  # S3's name for it

    async def store(
        self,
        parts: PartReader,
        first: list[Part],
        headers: Mapping[str, str],
        conditions: Mapping[str, str],
    ) -> str:
        """Returns the ETag. `first` is emptied: a part must not be held longer than it takes.

        Not every S3 knows conditions of CompleteMultipartUpload (Ceph's gateway of 2021 overwrites
        without a word), so they are looked after here as well, with a moment in between: before
        anything is sent in vain, and again when all is there.
        """
        await check_conditions(self._stat, conditions)
        # Who is cancelled while S3 makes up its mind would never learn what to abort.
        with trio.CancelScope(shield=True):
            self._upload = await self._create(headers)
        try:
            etags = await self._send_parts(parts, first)
            await check_conditions(self._stat, conditions)
            return await self._complete(etags, conditions)
        except BaseException:
            await self._abort()
            raise

    async def _create(self, headers: Mapping[str, str]) -> str:
        return await self._asking.ask(
            "create_upload",
            "POST",
            self._path,
            lambda reply: parse_upload_id(reply.body),
            query=[("uploads", "")],
            headers={**headers, **_described(b"")},
            total_s=min(self._total_s, _ABORT_S),
        )

    async def _send_parts(self, parts: PartReader, first: list[Part]) -> list[str]:
        part = first.pop()
        etags: list[str] = []
        while not parts.ended:
            if len(etags) + 1 == MAX_PARTS:
                raise TooLarge(f"no more than {MAX_PARTS} parts can be stored")
            send = partial(self._send, part, len(etags) + 1)
            if part.size_bytes <= PART_BYTES:
                etag, part = await _both(send, parts.read)
            else:
                etag = await send()
                del part, send
                part = await parts.read()
            etags.append(etag)
        return [*etags, await self._send(part, len(etags) + 1)]

    async def _send(self, part: Part, number: int) -> str:
        return await self._asking.ask(
            "upload_part",
            "PUT",
            self._path,
            _part_etag,
            query=[("partNumber", str(number)), ("uploadId", self._upload)],
            headers={"content-length": str(part.size_bytes), "x-amz-content-sha256": part.sha256},
            body=part.body,
            total_s=self._total_s + part.size_bytes / SLOWEST_BYTES_S,
        )

    async def _complete(self, etags: list[str], conditions: Mapping[str, str]) -> str:
        """Tried again where an answer got lost. When S3 then does not know the upload any more, it
        may be that it was completed: that is so when the object is made of these parts."""
        document = complete_document(etags)
        tries = 0

        async def attempt() -> str:
            nonlocal tries
            tries += 1
            reply = await self._asking.caller.call(
                "POST",
                self._path,
                query=[("uploadId", self._upload)],
                headers={
                    "content-type": "application/xml",
                    **_described(document),
                    **conditions,
                },
                body=PiecewiseBody([document]),
                read_timeout_s=self._total_s,  # S3 puts it together before it answers
            )
            error = parse_error(reply.body.lstrip()) if reply.status == 200 else None
            if reply.status == 200 and error is None:
                return quoted(parse_completed_etag(reply.body)) or await self._etag_of(etags)
            rejection = self._asking.rejection(reply._replace(body=reply.body.lstrip()))
            if rejection.code == "NoSuchUpload" and tries > 1:
                etag, there = _etag_of_parts(etags), await self._stat()
                if there is not None and etag == there.etag != "":
                    return etag
            raise self._asking.error(rejection, "complete_upload")

        return await self._asking.operations.run("complete_upload", attempt)

    async def _etag_of(self, etags: list[str]) -> str:
        """Of an object just completed, where S3 does not say it (nor does Ceph's of 2021)."""
        etag = _etag_of_parts(etags)
        if not etag:
            there = await self._stat()
            etag = there.etag if there is not None else ""
        return etag

    async def _abort(self) -> None:
        """Whatever happens, it does not take the place of the error that led here."""
        with trio.move_on_after(_ABORT_S, shield=True) as scope:
            try:
                await self._asking.ask(
                    "abort_upload",
                    "DELETE",
                    self._path,
                    lambda _: True,
                    query=[("uploadId", self._upload)],
                    refused=self._need_absence,
                    total_s=_ABORT_S,
                )
            except ParparchikError as error:
                self._log_left_behind(str(error))
        if scope.cancelled_caught:
            self._log_left_behind(f"no answer within {_ABORT_S:g} s")

    def _need_absence(self, rejection: Rejection) -> None:
        if rejection.code != "NoSuchUpload":
            raise self._asking.error(rejection, "abort_upload")

    def _log_left_behind(self, reason: str) -> None:
        _log.warning(
            "parts of a failed upload are left in the bucket",
            path=self._path,
            upload_id=self._upload,
            reason=reason,
        )


def _part_etag(reply: Reply) -> str:
    etag = reply.headers.get(b"etag")
    if not etag:
        raise UpstreamError("S3 has taken a part and not said its ETag")
    return quoted(etag.decode("latin-1"))


def _described(body: bytes) -> dict[str, str]:
    return {
        "content-length": str(len(body)),
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
    }


def _etag_of_parts(etags: list[str]) -> str:
    """The ETag that S3 gives an object made of these parts; '' where it is not to be known, as
    with KMS, where parts' ETags are no MD5."""
    digests = [_MD5.fullmatch(etag) for etag in etags]
    joined = b"".join([bytes.fromhex(each[1]) for each in digests if each is not None])
    if len(joined) != 16 * len(etags):
        return ""
    return f'"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"'


async def _both(
    first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]
) -> tuple[A, B]:
    """What both return. When one raises, the other is cancelled, and that is raised."""
    failures: list[Exception] = []
    results: list[A] = []

    async def run_first() -> None:
        try:
            results.append(await first())
        except Exception as error:  # noqa: BLE001  raised outside of the nursery, below
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        try:
            other = await second()
        except Exception as error:  # noqa: BLE001  likewise
            failures.append(error)
            nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return results[0], other
