"""S3 in memory: what a bucket answers, and every way in which it may fail to.

What S3 says is settled when a request arrives; `delay_s` only holds the answer back. So an answer
may be out of date by the time it is heard, as with the real thing.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

import trio

from parparchik.errors import (
    Denied,
    NoCredentials,
    NotSupported,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
)
from parparchik.model import (
    Bucket,
    ListedObject,
    ListPage,
    Method,
    ObjectHead,
    PresignedUrl,
    StoredObject,
    Unfinished,
)

T = TypeVar("T")

NOW_S = 1_780_000_000
OPERATIONS = ("head", "get", "put", "list")


class Conditions(Enum):
    """What a server does with If-Match and If-None-Match on PUT."""

    QUOTED = "honoured"
    UNQUOTED = "honoured, the ETag without its quotes"
    CREATE_ONLY = "If-None-Match honoured, If-Match 501"
    CREATE_ONLY_SILENTLY = "If-None-Match honoured, If-Match ignored"
    UNSUPPORTED = "501"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Asked:
    operation: str
    key: str


def unavailable() -> UpstreamError:
    return Unavailable("S3 is away", retry_after_s=7)


def denied() -> UpstreamError:
    return Denied("S3 says 403")


def server_error() -> UpstreamError:
    return UpstreamError("S3 says something odd")


class FakeBucket:
    """One bucket. `failing` has the error of an operation, `failing_keys` of single keys' HEADs;
    `hanging` requests end in Unavailable after `timeout_s`, as the real client's do. `on_request`
    sees each request before it is answered."""

    def __init__(
        self,
        bucket: Bucket | str = "files",
        *keys: str,
        page_size: int = 1000,
        conditions: Conditions = Conditions.QUOTED,
    ) -> None:
        self._bucket = Bucket(bucket) if isinstance(bucket, str) else bucket
        self.objects: dict[str, StoredObject] = {}
        self.page_size = page_size
        self.conditions = conditions
        self.failing: dict[str, Callable[[], UpstreamError]] = {}
        self.failing_keys: dict[str, Callable[[], UpstreamError]] = {}
        self.hanging = False
        self.timeout_s = 5.0
        self.delay_s = 0.0
        self.etags = True
        self.scrambled = False  # list in another order than S3's
        self.has_credentials = True
        self.credentials_end_s = math.inf
        self.on_request: Callable[[str, str], object] | None = None
        self.asked: list[Asked] = []
        self.most_in_flight = 0
        self.presigned = 0
        self.now: Callable[[], float] = lambda: NOW_S  # what it signs by
        self._in_flight = 0
        for key in keys:
            self.add(key)

    # -- what tests do -------------------------------------------------------------------------

    def add(self, key: str, data: bytes = b"", *, last_modified_s: int = NOW_S) -> None:
        etag = f'"{hashlib.md5(data).hexdigest()}"' if self.etags else ""
        self.objects[key] = StoredObject(data, ObjectHead(len(data), last_modified_s, etag))

    def remove(self, key: str) -> None:
        del self.objects[key]

    def fail(self, error: Callable[[], UpstreamError] = unavailable, *operations: str) -> None:
        self.failing |= dict.fromkeys(operations or OPERATIONS, error)

    def mend(self) -> None:
        self.failing.clear()
        self.failing_keys.clear()
        self.hanging = False

    @property
    def requests(self) -> Counter[str]:
        """How many requests of each operation came."""
        return Counter(asked.operation for asked in self.asked)

    def heads_of(self, key: str) -> int:
        return self.asked.count(Asked("head", key))

    def add_manifest(self, *keys: str) -> None:
        """A manifest as another process left it, true for the objects that are here."""
        rows: list[dict[str, object]] = []
        for key in keys:
            found = self.objects.get(key)
            rows.append({"key": key, "size": found.head.size_bytes if found else 1})
            rows[-1]["last_modified"] = "2026-05-28T20:26:40Z"  # NOW_S
        self.add(self._bucket.manifest_key, json.dumps({"version": 1, "files": rows}).encode())

    @property
    def manifest(self) -> dict[str, Any] | None:
        found = self.objects.get(self._bucket.manifest_key)
        document: dict[str, Any] | None = None if found is None else json.loads(found.data)
        return document

    @property
    def manifest_keys(self) -> set[str]:
        manifest = self.manifest
        assert manifest is not None, "there is no manifest"
        return {row["key"] for row in manifest["files"]}

    # -- model.ObjectStore ---------------------------------------------------------------------

    @property
    def bucket(self) -> Bucket:
        return self._bucket

    async def head(self, key: str) -> ObjectHead | None:
        found = await self._answer("head", key, lambda: self.objects.get(key))
        return None if found is None else found.head

    def head_soon(
        self, key: str, then: Callable[[ObjectHead | Unfinished[ObjectHead | None]], None]
    ) -> bool:
        return False

    async def get(self, key: str) -> StoredObject | None:
        return await self._answer("get", key, lambda: self.objects.get(key))

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        def store() -> str:
            assert content_type
            self._hold_to_conditions(key, if_match, if_none_match)
            self.add(key, b"".join(pieces))
            return self.objects[key].head.etag

        return await self._answer("put", key, store)

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        def page() -> ListPage:
            keys = sorted((key for key in self.objects if key.startswith(prefix)), key=str.encode)
            after = token or start_after or ""
            begin = bisect_right(keys, after.encode(), key=str.encode)
            if self.scrambled:
                keys = keys[1::2] + keys[::2]
                begin = keys.index(token) + 1 if token else 0
            shown = keys[begin : begin + self.page_size]
            more = begin + len(shown) < len(keys)
            return ListPage(
                [ListedObject(key, self.objects[key].head) for key in shown],
                shown[-1] if more else None,
            )

        return await self._answer("list", prefix, page)

    def public_url(self, key: str) -> str:
        return f"https://public.example/{self._bucket.name}/{quote(key)}"

    def presign(self, method: Method, key: str, *, expires_s: int) -> PresignedUrl:
        if not self.has_credentials:
            raise NoCredentials("no credentials at hand")
        self.presigned += 1
        path = f"{self._bucket.name}/{quote(key)}"
        url = f"https://signed.example/{path}?for={method}&life={expires_s}&n={self.presigned}"
        return PresignedUrl(url, min(self.now() + expires_s, self.credentials_end_s))

    # -- behind it -----------------------------------------------------------------------------

    async def _answer(self, operation: str, key: str, act: Callable[[], T]) -> T:
        self.asked.append(Asked(operation, key))
        if self.on_request is not None:
            self.on_request(operation, key)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.hanging:
                await trio.sleep(self.timeout_s)
                raise Unavailable("S3 does not answer", retry_after_s=1)
            error = self.failing.get(operation)
            if operation == "head":
                error = error or self.failing_keys.get(key)
            refused: UpstreamError | None = None if error is None else error()
            if refused is None:
                try:
                    result = act()
                except UpstreamError as failure:
                    refused = failure
            await trio.sleep(self.delay_s)
            if refused is not None:
                raise refused
            return result
        finally:
            self._in_flight -= 1

    def _hold_to_conditions(
        self, key: str, if_match: str | None, if_none_match: str | None
    ) -> None:
        kind = self.conditions
        if kind is Conditions.IGNORED:
            return
        if kind is Conditions.UNSUPPORTED and (if_match or if_none_match):
            raise NotSupported("no conditions here")
        found = self.objects.get(key)
        if if_none_match == "*" and found is not None:
            raise PreconditionFailed("there is one already")
        if if_match is None or kind is Conditions.CREATE_ONLY_SILENTLY:
            return
        if kind is Conditions.CREATE_ONLY:
            raise NotSupported("no If-Match here")
        etag = found.head.etag if found else ""
        if if_match != (etag.strip('"') if kind is Conditions.UNQUOTED else etag):
            raise PreconditionFailed("it is another")


HeadTold = Callable[[ObjectHead | Unfinished[ObjectHead | None]], None]


class PromptBucket(FakeBucket):
    """One that can be asked without a task; it answers when the test says so."""

    def __init__(self, bucket: Bucket, *keys: str) -> None:
        super().__init__(bucket, *keys)
        self.ready = True
        self.begun: list[tuple[str, HeadTold]] = []

    def head_soon(self, key: str, then: HeadTold) -> bool:
        if self.ready:
            self.begun.append((key, then))
        return self.ready

    def answer(self) -> None:
        """As S3 is now; what is not simply there takes a task, which asks the fake."""
        key, then = self.begun.pop(0)
        found = self.objects.get(key)
        if found is None or self.failing:
            then(Unfinished(lambda: self.head(key)))
        else:
            then(found.head)
