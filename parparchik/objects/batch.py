"""Many objects with one request: deleted, or asked about.

The body is JSON, `{"keys": [...]}`, of at most 1 MiB and 1,000 keys. Answered is 200 where the
request could be understood, whatever became of each key; what failed says why:

    ?delete  {"deleted": ["a"], "errors": [{"key": "b", "error": "...", "code": 502}]}
    ?stat    {"objects": [
        {"key": "a", "exists": true, "size": 5, "etag": "\"...\"",
         "last_modified": "2026-05-05T10:00:00Z", "content_type": "text/plain"},
        {"key": "b", "exists": false},
        {"key": "c", "error": "...", "code": 503}]}

`objects` are in the order in which they were asked for; S3 is asked for each, not the cache. A key
that was named twice is deleted once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import trio

from parparchik.cache import Cache
from parparchik.content import ObjectBytes, ObjectName
from parparchik.errors import ClientError, ParparchikError, TooSlow
from parparchik.model import Answer, Upload
from parparchik.objects import problems
from parparchik.objects.bodies import Bodies, read_all
from parparchik.objects.permissions import Permissions
from parparchik.objects.target import EmptyKey
from parparchik.objects.writing import changing
from parparchik.rfc import format_iso8601
from parparchik.routes import check_key

MAX_KEYS = 1000  # S3's DeleteObjects takes no more
MAX_BODY_BYTES = 1 << 20
SLOWEST_S = 10.0  # all of a body: while it comes it has a place that others have not
STATS_AT_A_TIME = 8  # of one request
ALL_STATS_AT_A_TIME = 32


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_KEYS)]


class Failed(msgspec.Struct, frozen=True):
    key: str
    error: str
    code: int


class Deleted(msgspec.Struct, frozen=True):
    deleted: list[str]
    errors: list[Failed]


class Missing(msgspec.Struct, frozen=True):
    key: str
    exists: bool = False


class Existing(msgspec.Struct, frozen=True):
    """`size` in bytes; `etag` with its quotes."""

    key: str
    exists: bool
    size: int
    etag: str
    last_modified: str | None
    content_type: str


class Stats(msgspec.Struct, frozen=True):
    objects: Sequence[Existing | Missing | Failed]


_decode = msgspec.json.Decoder(Keys).decode


class Batch:
    """`sources` by bucket."""

    def __init__(
        self,
        sources: Mapping[str, ObjectBytes],
        cache: Cache,
        bodies: Bodies,
        permissions: Permissions,
    ) -> None:
        self._sources = sources
        self._cache = cache
        self._bodies = bodies
        self._permissions = permissions
        self._stats = trio.CapacityLimiter(ALL_STATS_AT_A_TIME)

    async def delete(self, bucket: str, upload: Upload) -> Answer:
        with self._bodies.enter(upload, MAX_BODY_BYTES) as body:
            keys = await _read_keys(body)
            errors: dict[str, Failed] = {}
            sound: list[str] = []
            for key in dict.fromkeys(keys):
                try:
                    self._check(bucket, key)
                    sound.append(key)
                except ParparchikError as error:
                    errors[key] = _failed(key, error)
            if sound:
                async with changing(self._cache, [ObjectName(bucket, key) for key in sound]):
                    reasons = await self._sources[bucket].delete_many(sound)
                for key, reason in reasons.items():
                    errors[key] = Failed(key, reason, 502)
            deleted = [key for key in sound if key not in errors]
            return _json(Deleted(deleted, list(errors.values())))

    async def stat(self, bucket: str, upload: Upload) -> Answer:
        with self._bodies.enter(upload, MAX_BODY_BYTES) as body:
            keys = await _read_keys(body)
            found: dict[str, Existing | Missing | Failed] = {}
            left = iter(dict.fromkeys(keys))

            async def work() -> None:
                for key in left:
                    async with self._stats:
                        found[key] = await self._stat(bucket, key)

            async with trio.open_nursery() as nursery:
                for _ in range(min(STATS_AT_A_TIME, len(keys))):
                    nursery.start_soon(work)
            return _json(Stats([found[key] for key in keys]))

    async def _stat(self, bucket: str, key: str) -> Existing | Missing | Failed:
        try:
            self._check(bucket, key)
            said = await self._sources[bucket].stat(key)
        except ParparchikError as error:
            return _failed(key, error)
        if said is None:
            return Missing(key)
        modified = format_iso8601(said.last_modified_s) if said.last_modified_s else None
        return Existing(key, True, said.size_bytes, said.etag, modified, said.content_type)

    def _check(self, bucket: str, key: str) -> None:
        if not key:
            raise EmptyKey("the key is empty")
        check_key(key)
        self._permissions.check_key(bucket, key)


async def _read_keys(upload: Upload) -> list[str]:
    """Raises ClientError, TooLarge, TooSlow."""
    with trio.move_on_after(SLOWEST_S) as patience:
        body = await read_all(upload)
    if patience.cancelled_caught:
        raise TooSlow(f"the list of keys has not come within {SLOWEST_S:g} s")
    try:
        return _decode(body).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(
            f'the body has to be JSON, {{"keys": [...]}} with 1 to {MAX_KEYS} strings: {error}'
        ) from None


def _failed(key: str, error: ParparchikError) -> Failed:
    return Failed(key, error.client_message, error.status)


def _json(document: msgspec.Struct) -> Answer:
    body = msgspec.json.encode(document)
    return Answer(200, (problems.JSON, problems.NO_STORE), body, problems.KIND)
