"""The cache, in the hands of those who run it: purge, warm.

POST /cache/purge   {"bucket": ..., "key": ...} | {"bucket": ..., "prefix": ...} | {"all": true}
                    -> {"purged": 3}
POST /cache/warm    {"bucket": ..., "keys": [...]}
                    -> {"warmed": 2, "bytes": 5120, "missing": ["a"], "passed": [],
                        "errors": [{"key": ..., "error": ..., "code": 503}]}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec
import trio

from parparchik.cache import Absent, Cache, Policy
from parparchik.content import ObjectName, Span
from parparchik.errors import ClientError, ParparchikError
from parparchik.routes import check_key

MAX_KEYS = 1000
WARMED_AT_A_TIME = 4


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of three forms. `prefix` '': all of the bucket."""

    bucket: str | None = None
    key: str | None = None
    prefix: str | None = None
    all: bool = False

    def __post_init__(self) -> None:
        given = (self.bucket is not None, self.key is not None, self.prefix is not None, self.all)
        if given not in (
            (True, True, False, False),
            (True, False, True, False),
            (False, False, False, True),
        ):
            raise ValueError("give bucket and key, bucket and prefix, or all: true")


class Purged(msgspec.Struct, frozen=True):
    """How many objects were forgotten, as far as known."""

    purged: int


class Warm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bucket: str
    keys: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_KEYS)]


class NotWarmed(msgspec.Struct, frozen=True):
    key: str
    error: str
    code: int


class Warmed(msgspec.Struct):
    """`bytes` is what the objects have together, cached before or not. `passed` are objects that
    are never kept: too large, or not to be stored."""

    warmed: int
    bytes: int
    missing: list[str]
    passed: list[str]
    errors: list[NotWarmed]


class Caching(Protocol):
    """What these requests ask for. Raises ClientError for a bucket that is none of ours."""

    async def purge(self, purge: Purge) -> Purged: ...

    async def warm(self, warm: Warm) -> Warmed: ...


class CacheControl:
    """`Caching` of one process. `buckets` are those that the cache has objects of; what is warmed
    is kept by `policy`."""

    def __init__(self, cache: Cache, buckets: Sequence[str], policy: Policy) -> None:
        self._cache = cache
        self._buckets = tuple(buckets)
        self._policy = policy
        self._warming = trio.CapacityLimiter(WARMED_AT_A_TIME)

    async def purge(self, purge: Purge) -> Purged:
        if purge.bucket is None:
            counts = [await self._cache.invalidate_prefix(bucket, "") for bucket in self._buckets]
            return Purged(sum(counts))
        self._check(purge.bucket)
        if purge.key is not None:
            return Purged(await self._cache.invalidate(ObjectName(purge.bucket, purge.key)))
        return Purged(await self._cache.invalidate_prefix(purge.bucket, purge.prefix or ""))

    async def warm(self, warm: Warm) -> Warmed:
        """Every object is read once, as if a client had; whatever S3 says of one, the others are
        gone on with."""
        self._check(warm.bucket)
        warmed = Warmed(0, 0, [], [], [])
        left = iter(dict.fromkeys(warm.keys))

        async def work() -> None:
            for key in left:
                async with self._warming:
                    await self._warm(ObjectName(warm.bucket, key), warmed)

        async with trio.open_nursery() as nursery:
            for _ in range(WARMED_AT_A_TIME):
                nursery.start_soon(work)
        return warmed

    async def _warm(self, name: ObjectName, warmed: Warmed) -> None:
        """Have one in the cache, and say in `warmed` what came of it."""
        try:
            check_key(name.key)
            found = await self._cache.find(name, self._policy, "whole")
            if isinstance(found, Absent):
                warmed.missing.append(name.key)
                return
            size_bytes = found.representation.size_bytes
            content = found.content(Span(0, size_bytes - 1))
            try:
                if found.status == "BYPASS":
                    warmed.passed.append(name.key)
                    return
                while await content.read() is not None:
                    await trio.lowlevel.checkpoint()
            finally:
                content.close()
        except ParparchikError as error:
            warmed.errors.append(NotWarmed(name.key, error.client_message, error.status))
        else:
            warmed.warmed += 1
            warmed.bytes += size_bytes

    def _check(self, bucket: str) -> None:
        if bucket not in self._buckets:
            raise ClientError(f"{bucket!r} is no bucket of this cache")
