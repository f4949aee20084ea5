"""The bytes of objects: what S3 says of them, and the Protocol that they come and go by.

Positions are bytes from the beginning of the object; a `Span` includes both of its ends, as HTTP's
ranges do (RFC 9110 section 14.1.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from parparchik.model import ListedObject, Unfinished, Upload


class ObjectName(NamedTuple):
    bucket: str
    key: str


class Span(NamedTuple):
    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Representation:
    """What S3 says of an object beside its bytes. `etag` keeps its quotes ('' if S3 sent none),
    `last_modified_s` is 0 if S3 did not say.

    `headers` are those that were stored with it, as they came, names in lower case: Cache-Control,
    Content-Disposition, Content-Encoding, Content-Language, Expires, `x-amz-meta-*`,
    `x-amz-version-id`. The content's type ('' if S3 sent none) is not among them. `age_s` is not
    of the object: for how long a cache before S3 had known this when it told us (Age; 0 of S3).
    """

    size_bytes: int
    last_modified_s: int
    etag: str = ""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    age_s: int = field(default=0, compare=False)

    @property
    def recognizable(self) -> bool:
        """Whether it can be told from another object of the same name and size."""
        return bool(self.etag or self.last_modified_s)

    def is_same(self, other: Representation) -> bool:
        """Whether its bytes are those of the other, as far as S3 tells them apart."""
        if self.size_bytes != other.size_bytes:
            return False
        if self.etag or other.etag:
            return self.etag == other.etag
        return self.last_modified_s == other.last_modified_s

    def header(self, name: str) -> str:
        return next((value for given, value in self.headers if given == name), "")


@dataclass(frozen=True, slots=True)
class NotModified:
    """The object is still what the ETag named; all as a Representation's, of the 304."""

    headers: tuple[tuple[str, str], ...] = ()
    age_s: int = 0


class Download(Protocol):
    """One answer of S3 with the bytes of an object, or of a span of it, still to be read."""

    @property
    def representation(self) -> Representation:
        """Of the whole object, its size too."""
        ...

    @property
    def span(self) -> Span:
        """What is being sent: it may be more than was asked for (a server that knows no ranges).
        Of an empty object (0, -1)."""
        ...

    async def read(self) -> bytes:
        """The next piece, 64 KiB or so; b'' when `span` is complete. Raises Truncated or another
        UpstreamError when it never will be."""
        ...

    async def aclose(self) -> None:
        """Part with the connection; safe at any time, and when called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Storing:
    """What is stored with an object's bytes, and on which conditions.

    `headers` as a Representation's. The digests are what the bytes have to have (raw, not hex);
    conditions are sent as they are given. `part_bytes`: larger bodies go in parts of that size, two
    of which are in memory at a time; 5 MiB at least, 0 for what suits most.
    """

    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    if_match: str = ""
    if_none_match: str = ""
    md5: bytes = b""
    sha256: bytes = b""
    part_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Folder:
    """A page of what lies directly below a prefix: objects and, with their trailing slash, the
    prefixes of further folders; each sorted by UTF-8 bytes."""

    objects: Sequence[ListedObject]
    prefixes: Sequence[str]
    next_token: str | None


class ObjectBytes(Protocol):
    """The objects of one bucket, bytes and all. Raises UpstreamError when S3 gives no usable
    answer; only None says that an object does not exist."""

    @property
    def name(self) -> str:
        """The bucket's."""
        ...

    async def stat(self, key: str) -> Representation | None:
        """What a HEAD says, with all stored headers."""
        ...

    async def open(
        self, key: str, *, span: Span | None = None, if_none_match: str = "", if_match: str = ""
    ) -> Download | NotModified | None:
        """A GET, up to where the body begins; the caller closes it. `span` may reach beyond the
        object's end. Raises OutOfRange where it lies wholly beyond, and PreconditionFailed when
        the object is no longer what `if_match` (an ETag with quotes) names."""
        ...

    async def store(self, key: str, upload: Upload, storing: Storing) -> str:
        """Store what `upload` reads, in parts where it is large, with bounded memory; returns the
        ETag when S3 has all of it. Nothing is left of what could not be stored whole: parts are
        aborted, also when cancelled. Raises PreconditionFailed, BadDigest, and what reading
        raises."""
        ...

    def store_soon(
        self, key: str, data: bytes, storing: Storing, then: Callable[[str | Unfinished[str]], None]
    ) -> bool:
        """The same of what is small, without a task: where that can begin at once, `then` is called
        later, once, from the event loop, with the ETag, or with what remains to be done; it must
        not raise. False: nothing was begun, `store` is the way."""
        ...

    async def delete(self, key: str) -> None:
        """Also where nothing was."""
        ...

    async def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete up to 1,000 objects with one request; the reasons of those that failed."""
        ...

    async def list_folder(
        self, prefix: str, *, token: str | None = None, limit: int = 1000
    ) -> Folder:
        """Raises BadTarget for a `token` that no page before had."""
        ...
