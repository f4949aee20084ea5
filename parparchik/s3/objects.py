"""The objects of one bucket, bytes and all: `content.ObjectBytes` on a real S3 endpoint.

Here is what is asked. What comes is read by `download`, what goes is cut by `parts` and, where it
is large, put together by `multipart`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import httpx

from parparchik.config import BucketConfig, S3Config
from parparchik.content import Download, Folder, NotModified, Representation, Span, Storing
from parparchik.errors import BadTarget, ClientError, OutOfRange, PreconditionFailed, UpstreamError
from parparchik.model import Unfinished, Upload
from parparchik.s3.addressing import internal_address, target_of
from parparchik.s3.asking import Asking
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.call import Caller, body_of, whole
from parparchik.s3.conditions import store_if
from parparchik.s3.deletes import DELETE_OPERATIONS, Deletes
from parparchik.s3.download import S3Download, size_beyond
from parparchik.s3.existence import Existence
from parparchik.s3.failures import Operation, Rejection
from parparchik.s3.multipart import (
    SLOWEST_BYTES_S,
    UPLOAD_OPERATIONS,
    Multipart,
    part_bytes_of,
)
from parparchik.s3.operation import Operations
from parparchik.s3.parts import Part, PartReader
from parparchik.s3.representation import (
    age_of,
    conditions_of,
    parse_length,
    quoted,
    representation_of,
    stored_headers,
    storing_headers,
)
from parparchik.s3.request import SMALL_BYTES
from parparchik.s3.response import Reply
from parparchik.s3.sigv4 import Credentials
from parparchik.s3.transport import Transport
from parparchik.s3.xml import parse_folder

# AWS and MinIO say the former; rclone the latter, which AWS has for credentials.
_NO_SUCH_TOKEN = {"InvalidArgument", "InvalidToken"}


class S3Objects:
    """Asks through `transport`; `operations` are the bucket's own; `credentials` as
    for S3Bucket."""

    def __init__(
        self,
        config: BucketConfig,
        s3: S3Config,
        *,
        credentials: Callable[[], Credentials],
        transport: Transport,
        operations: Operations,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError where the bucket cannot be addressed."""
        self._s3 = s3
        self._name = config.bucket.name
        self._address = internal_address(self._name, config.endpoint)
        region = config.endpoint.region
        self._caller = Caller(
            transport,
            self._address.origin,
            SigV4Auth(credentials, region, now=now),
            httpx.Timeout(s3.read_timeout_s, connect=s3.connect_timeout_s),
        )
        operations.also((*DELETE_OPERATIONS, *UPLOAD_OPERATIONS))
        self._operations = operations
        self._existence = Existence(self._caller, self._address, credentials=credentials, now=now)
        self._asking = Asking(self._caller, operations, bucket=self._name, region=region, now=now)
        self._deletes = Deletes(self._asking, self._address)

    @property
    def name(self) -> str:
        return self._name

    async def stat(self, key: str) -> Representation | None:
        return await self._operations.run(
            "head",
            partial(self._stat, key),
            total_s=self._s3.probe_timeout_s,
            attempt_s=self._s3.read_timeout_s,
        )

    async def open(
        self, key: str, *, span: Span | None = None, if_none_match: str = "", if_match: str = ""
    ) -> Download | NotModified | None:
        """The time for an operation ends where the body begins; from there on S3 may not be
        silent for longer than `read_timeout_s`."""
        headers = {"if-none-match": if_none_match, "if-match": if_match}
        if span is not None:
            headers["range"] = f"bytes={span.first}-{span.last}"
        headers = {name: value for name, value in headers.items() if value}
        opened = await self._operations.run("get", partial(self._open, key, span, headers))
        if isinstance(opened, OutOfRange):
            raise opened
        return opened

    async def store(self, key: str, upload: Upload, storing: Storing) -> str:
        """A conditional write is retried as any other: when a first try took effect but its answer
        got lost, the second raises PreconditionFailed, as if it had been another writer. (An object
        with the same bytes need not be ours: who writes a lock must not be told that it is.)"""
        path = self._address.path(key)
        target_of(path)  # can it be asked for? Before the body is read
        headers, conditions = storing_headers(storing), conditions_of(storing)
        parts = PartReader(upload, storing, part_bytes_of(upload.size_bytes, storing.part_bytes))
        first = [await parts.read()]
        if parts.ended:
            put = partial(self._put, path, first[0], headers)
            return await store_if(partial(self.stat, key), conditions, put)
        multipart = Multipart(
            self._asking, path, partial(self.stat, key), total_s=self._s3.total_timeout_s
        )
        return await multipart.store(parts, first, headers, conditions)

    def store_soon(
        self, key: str, data: bytes, storing: Storing, then: Callable[[str | Unfinished[str]], None]
    ) -> bool:
        """Conditions and digests are for `store`, and so is what would not go out at once, or never
        can."""
        others = storing.if_match, storing.if_none_match, storing.md5, storing.sha256
        if len(data) > SMALL_BYTES or any(others):
            return False
        try:
            headers = storing_headers(storing)
        except ClientError:
            return False
        sha256 = hashlib.sha256(data).hexdigest()
        return self._asking.ask_soon(
            *("put", "PUT", self._address.path(key), _etag_of, then),
            headers={**headers, **_payload_headers(len(data), sha256)},
            pieces=[data],
            total_s=self._put_s(len(data)),
        )

    async def delete(self, key: str) -> None:
        await self._deletes.one(key)

    async def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Raises ValueError for more than 1,000 keys."""
        return await self._deletes.many(keys)

    async def list_folder(
        self, prefix: str, *, token: str | None = None, limit: int = 1000
    ) -> Folder:
        """A folder's own marker, an object called `prefix`, is one of its objects."""
        query = [
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("delimiter", "/"),
            ("max-keys", str(limit)),
        ]
        if prefix:
            query.append(("prefix", prefix))
        if token is not None:
            query.append(("continuation-token", token))

        def refused(rejection: Rejection) -> Folder:
            if token is not None and rejection.code in _NO_SUCH_TOKEN:
                raise BadTarget("there is no such page")
            raise self._asking.error(rejection, "list")

        return await self._asking.ask(
            "list",
            "GET",
            self._address.bucket_path,
            lambda reply: parse_folder(reply.body),
            query=query,
            refused=refused,
        )

    async def _stat(self, key: str) -> Representation | None:
        reply = await self._caller.call("HEAD", self._address.path(key))
        if reply.status != 200:
            self._need_absence(await self._existence.why(key, reply), "head")
            return None
        try:
            size_bytes = parse_length(reply.headers.get(b"content-length"))
        except ValueError as error:
            raise UpstreamError(f"S3 describes an object oddly: {error}") from error
        return representation_of(reply.headers, size_bytes)

    async def _open(
        self, key: str, span: Span | None, headers: dict[str, str]
    ) -> S3Download | NotModified | OutOfRange | None:
        response = await self._caller.open("GET", self._address.path(key), headers=headers)
        if response.status_code in (200, 206):
            try:
                download = S3Download(response, span)
                _check_match(download.representation.etag, headers.get("if-match", ""))
            except BaseException:
                await response.aclose()
                raise
            return download
        reply = await whole(body_of(response))
        if reply.status == 304 and "if-none-match" in headers:
            return NotModified(stored_headers(reply.headers), age_of(reply.headers))
        rejection = self._asking.rejection(reply)
        if reply.status == 416 and span is not None:
            return OutOfRange(
                f"no byte of the object is in {span.first}-{span.last}",
                size_bytes=size_beyond(reply.headers, rejection.size_bytes),
            )
        self._need_absence(rejection, "get")
        return None

    def _need_absence(self, rejection: Rejection, operation: Operation) -> None:
        if rejection.says_no_key or (self._s3.denied_is_missing and rejection.says_denied):
            return
        raise self._asking.error(rejection, operation)

    async def _put(
        self, path: str, part: Part, headers: Mapping[str, str], conditions: Mapping[str, str]
    ) -> str:
        return await self._asking.ask(
            "put",
            "PUT",
            path,
            _etag_of,
            headers={**headers, **conditions, **_payload_headers(part.size_bytes, part.sha256)},
            body=part.body,
            total_s=self._put_s(part.size_bytes),
        )

    def _put_s(self, size_bytes: int) -> float:
        return self._s3.total_timeout_s + size_bytes / SLOWEST_BYTES_S


def _payload_headers(size_bytes: int, sha256: str) -> dict[str, str]:
    return {"content-length": str(size_bytes), "x-amz-content-sha256": sha256}


def _etag_of(reply: Reply) -> str:
    return quoted(reply.headers.get(b"etag", b"").decode("latin-1"))


def _check_match(etag: str, if_match: str) -> None:
    """For servers that do not know If-Match, or forget it over a Range."""
    if if_match not in ("", "*", etag):
        raise PreconditionFailed("the object is no longer what it was")
