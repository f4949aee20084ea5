"""What the cache gives, and by which rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from parparchik.content import ObjectName, Representation, Span
from parparchik.model import Content, ReadyContent

Status = Literal["HIT", "MISS", "STALE", "REVALIDATED", "BYPASS"]
Coding = Literal["gzip", "br", "zstd"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How long an answer of S3 is good. Durations in seconds.

    For `ttl_s` it is fresh, or, with `respect_cache_control`, for as long as S3's Cache-Control or
    Expires says where it says so. For `stale_while_revalidate_s` after that it is served while S3
    is asked whether it still holds, and for `stale_if_error_s` where S3 gives no usable answer.
    That an object does not exist is good for `negative_ttl_s`.
    """

    ttl_s: float = 300.0
    respect_cache_control: bool = True
    stale_while_revalidate_s: float = 30.0
    stale_if_error_s: float = 86_400.0
    negative_ttl_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Absent:
    """S3 said not long ago that there is no such object."""

    status: Status = "HIT"


class Found(Protocol):
    """An object as the cache gives it for one request. It may be kept and asked again: as long as
    nothing has changed, `find_nowait` returns the same one."""

    @property
    def name(self) -> ObjectName: ...

    @property
    def representation(self) -> Representation:
        """S3's, or for a coded variant what is different for that: size, ETag, Content-Encoding."""
        ...

    @property
    def status(self) -> Status: ...

    @property
    def age_s(self) -> int:
        """Whole seconds since S3 last said that it holds, and before that in a cache between S3 and
        us (RFC 9111 section 4.2.3)."""
        ...

    @property
    def fresh_for_s(self) -> float:
        """How long it stays fresh from now; negative when stale."""
        ...

    @property
    def body(self) -> bytes | None:
        """All of it, where that is in memory in one piece."""
        ...

    def content(self, span: Span) -> Content:
        """The bytes of a span within the object; of an empty one, Span(0, -1). What is not cached
        is asked of S3 as it is read, and never of a newer object than `representation`'s."""
        ...

    def content_nowait(self, span: Span) -> ReadyContent | None:
        """The same where all of it is cached and its first block at hand; None: `find` is the
        way."""
        ...


Wanted = Span | Literal["whole", "head"]
"""What of an object is wanted: with it S3 is asked for that at once where it is not known."""


class Cache(Protocol):
    """The objects of some buckets, kept in memory and on disk."""

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        """What is known without asking S3 and without a disk: fresh, or stale within
        `stale_while_revalidate_s` (and being revalidated from now on). None: `find` is the way."""
        ...

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        """The object, S3 asked where need be; concurrent callers ask once. Raises UpstreamError
        where S3 gives no usable answer and nothing is known that could stand in. `wanted` may
        reach beyond the object's end; OutOfRange is never raised."""
        ...

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        """`found` in another coding, made once by `make` (in a thread) from the pieces of the
        whole body and kept beside it, with an ETag of its own. None where `make`'s is not smaller:
        that is remembered too. Not for what is larger than is compressed at all."""
        ...

    def variant_nowait(self, found: Found, coding: Coding) -> Found | Absent | None:
        """The variant where it is in memory; Absent where there is none; None: not known."""
        ...

    async def invalidate(self, *names: ObjectName) -> int:
        """These objects have just been changed at S3: forget them and what is on its way; how many
        were known. Nothing that S3 was asked before this is cached or served to who asks after it
        has returned, not even after a crash, as far as the disk does as it is told. Raises
        Unavailable where there are further caches, and one of them may still give out what was
        there."""
        ...

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        """Likewise for every key that begins with `prefix` ('': all); how many objects that was,
        as far as known. That something is absent is forgotten too."""
        ...
