"""The bytes of a bucket in memory, and every way in which they may come late, torn or not at all.

What S3 says is settled between the points "arriving" and "answering" of a request, and an open
body is of the object as it was then, whatever is stored since: as with the real thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import outcome
import trio

from parparchik.content import (
    Folder,
    NotModified,
    ObjectName,
    Representation,
    Span,
    Storing,
)
from parparchik.errors import (
    BadDigest,
    OutOfRange,
    ParparchikError,
    PreconditionFailed,
    Truncated,
    UpstreamError,
)
from parparchik.model import ListedObject, ListPage, ObjectHead, Unfinished, Upload
from tests.soon import soon

NOW_S = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    data: bytes = field(repr=False)
    representation: Representation


@dataclass(frozen=True, slots=True)
class BytesAsked:
    operation: str
    key: str
    span: Span | None = None
    if_none_match: str = ""
    if_match: str = ""


Point = Callable[[str, BytesAsked], Awaitable[None]]


class FakeBytes:
    """One bucket.

    `asked` has every request in order. `failing` has the error of an operation (`stat`, `open`,
    `store`, `delete`, `list`), `failing_keys` that of a key's. A body breaks off (Truncated) after
    `break_after[key]` bytes of what it sends. `at` is awaited at the points "arriving", "answering"
    and, before each piece of a body, "reading": it may wait for whatever a test wants. `reading`
    counts bodies that are open, `sent_bytes` what was read of bodies. With `knows_ranges` False a
    span is answered with the whole object. `knows_conditions` False: If-Match and If-None-Match of
    a GET are ignored.
    """

    def __init__(self, name: str = "bucket", *, piece_bytes: int = 65_536) -> None:
        self.name = name
        self.piece_bytes = piece_bytes
        self.objects: dict[str, Stored] = {}
        self.asked: list[BytesAsked] = []
        self.failing: dict[str, Callable[[], ParparchikError]] = {}
        self.failing_keys: dict[str, Callable[[], UpstreamError]] = {}
        self.break_after: dict[str, int] = {}
        self.at: Point | None = None
        self.knows_ranges = True
        self.knows_conditions = True
        self.page_keys = 1000
        self.reading = 0
        self.sent_bytes = 0
        self.now_s = NOW_S

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        etag: str | None = None,
        age_s: int = 0,
    ) -> Representation:
        """An object, as if somebody else had stored it just now, or in a cache `age_s` ago."""
        if etag is None:
            etag = f'"{hashlib.md5(data).hexdigest()}"'
        representation = Representation(
            len(data), self.now_s, etag, content_type, tuple(sorted(headers)), age_s
        )
        self.objects[key] = Stored(data, representation)
        return representation

    def object_name(self, key: str) -> ObjectName:
        return ObjectName(self.name, key)

    def count(self, operation: str, key: str | None = None) -> int:
        return sum(
            asked.operation == operation and key in (None, asked.key) for asked in self.asked
        )

    def spans(self, key: str) -> list[Span | None]:
        """Of the GETs so far."""
        return [a.span for a in self.asked if a.operation == "open" and a.key == key]

    async def stat(self, key: str) -> Representation | None:
        asked = await self._arrive(BytesAsked("stat", key))
        stored = self.objects.get(key)
        await self._pass("answering", asked)
        return stored.representation if stored is not None else None

    async def open(
        self, key: str, *, span: Span | None = None, if_none_match: str = "", if_match: str = ""
    ) -> FakeDownload | NotModified | None:
        asked = await self._arrive(BytesAsked("open", key, span, if_none_match, if_match))
        stored = self.objects.get(key)
        await self._pass("answering", asked)
        if stored is None:
            return None
        etag = stored.representation.etag
        if self.knows_conditions:
            if if_match and if_match != etag:
                raise PreconditionFailed(f"{key} is no longer {if_match}")
            if if_none_match and if_none_match == etag:
                return NotModified(stored.representation.headers, stored.representation.age_s)
        whole = Span(0, len(stored.data) - 1)
        sent = whole
        if span is not None and self.knows_ranges:
            if span.first > whole.last:
                raise OutOfRange(f"{key} has no byte {span.first}", size_bytes=len(stored.data))
            sent = Span(span.first, min(span.last, whole.last))
        return FakeDownload(self, asked, stored, sent)

    async def store(self, key: str, upload: Upload, storing: Storing) -> str:
        asked = await self._arrive(
            BytesAsked("store", key, None, storing.if_none_match, storing.if_match)
        )
        data = bytearray()
        while piece := await upload.read():
            data += piece
        if storing.md5 and hashlib.md5(data).digest() != storing.md5:
            raise BadDigest("the body is not what its MD5 says")
        if storing.sha256 and hashlib.sha256(data).digest() != storing.sha256:
            raise BadDigest("the body is not what its SHA-256 says")
        before = self.objects.get(key)
        etag = before.representation.etag if before is not None else ""
        if storing.if_match and not (etag and storing.if_match in (etag, "*")):
            raise PreconditionFailed(f"{key} is not {storing.if_match}")
        if storing.if_none_match and etag and storing.if_none_match in (etag, "*"):
            raise PreconditionFailed(f"{key} is there")
        stored = self.put(
            key, bytes(data), content_type=storing.content_type, headers=storing.headers
        )
        await self._pass("answering", asked)
        return stored.etag

    def store_soon(
        self, key: str, data: bytes, storing: Storing, then: Callable[[str | Unfinished[str]], None]
    ) -> bool:
        def tell(came: outcome.Outcome[str]) -> None:
            async def finish() -> str:
                return came.unwrap()

            then(came.value if isinstance(came, outcome.Value) else Unfinished(finish))

        soon(self.store, key, FakeUpload(data, size_bytes=len(data)), storing, then=tell)
        return True

    async def delete(self, key: str) -> None:
        asked = await self._arrive(BytesAsked("delete", key))
        self.objects.pop(key, None)
        await self._pass("answering", asked)

    async def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        reasons: dict[str, str] = {}
        for key in keys:
            try:
                await self.delete(key)
            except UpstreamError as error:
                reasons[key] = str(error)
        return reasons

    async def list_folder(
        self, prefix: str, *, token: str | None = None, limit: int = 1000
    ) -> Folder:
        """Tokens are the last name of the page before."""
        await self._arrive(BytesAsked("list", prefix))
        names: set[str] = set()
        for key in self.objects:
            if key.startswith(prefix):
                below, slash, _ = key[len(prefix) :].partition("/")
                names.add(prefix + below + slash)
        ordered = sorted(names, key=str.encode)
        if token is not None:
            ordered = [name for name in ordered if name.encode() > token.encode()]
        page = ordered[:limit]
        objects = [
            ListedObject(name, _head(self.objects[name].representation))
            for name in page
            if name in self.objects and (name == prefix or not name.endswith("/"))
        ]
        prefixes = [name for name in page if name.endswith("/") and name != prefix]
        return Folder(objects, prefixes, page[-1] if len(ordered) > limit else None)

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        """As a `model.ObjectStore`: all below a prefix, `page_keys` at a time."""
        await self._arrive(BytesAsked("list", prefix))
        after = (token or start_after or "").encode()
        keys = sorted(
            (key for key in self.objects if key.startswith(prefix) and key.encode() > after),
            key=str.encode,
        )
        page = keys[: self.page_keys]
        objects = [ListedObject(key, _head(self.objects[key].representation)) for key in page]
        return ListPage(objects, page[-1] if len(keys) > len(page) else None)

    async def _arrive(self, asked: BytesAsked) -> BytesAsked:
        self.asked.append(asked)
        await self._pass("arriving", asked)
        fails = self.failing.get(asked.operation) or self.failing_keys.get(asked.key)
        if fails is not None:
            raise fails()
        return asked

    async def _pass(self, point: str, asked: BytesAsked) -> None:
        if self.at is not None:
            await self.at(point, asked)
        await trio.lowlevel.checkpoint()


class FakeDownload:
    def __init__(self, bucket: FakeBytes, asked: BytesAsked, stored: Stored, span: Span) -> None:
        self._bucket = bucket
        self._asked = asked
        self._left = memoryview(stored.data)[span.first : span.last + 1]
        self._sent = 0
        self._open = True
        self.representation = replace(stored.representation)
        self.span = span
        bucket.reading += 1

    async def read(self) -> bytes:
        assert self._open, "a body is read after it was closed"
        await self._bucket._pass("reading", self._asked)
        size = self._bucket.piece_bytes
        breaks = self._bucket.break_after.get(self._asked.key)
        if breaks is not None and self._left:
            size = min(size, breaks - self._sent)
            if size <= 0:
                raise Truncated(f"S3 broke off after {self._sent} bytes")
        piece = bytes(self._left[:size])
        self._left = self._left[len(piece) :]
        self._sent += len(piece)
        self._bucket.sent_bytes += len(piece)
        return piece

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._bucket.reading -= 1
        await trio.lowlevel.checkpoint()


class FakeUpload:
    """A body whose pieces are all there."""

    def __init__(self, *pieces: bytes, size_bytes: int | None = None) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.size_bytes = size_bytes

    @property
    def whole(self) -> bytes | None:
        """All of it, unless its size is a lie, or reading it is special."""
        data = b"".join(self._pieces)
        is_plain = type(self) is FakeUpload and self.size_bytes == len(data)
        return data if is_plain else None

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""


def _head(representation: Representation) -> ObjectHead:
    return ObjectHead(
        representation.size_bytes, representation.last_modified_s, representation.etag
    )
