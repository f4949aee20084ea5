"""One bucket as the registry sees it: `model.ObjectStore` on a real S3 endpoint.

Here is what is asked; `operation` has how often and how long, `failures` and `existence` what an
answer means, and `head` what is asked most.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import trio

from parparchik.config import BucketConfig, S3Config
from parparchik.errors import UpstreamError
from parparchik.model import (
    Bucket,
    ListPage,
    Method,
    PresignedUrl,
    StoredObject,
)
from parparchik.s3.addressing import external_address, internal_address
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.call import Caller
from parparchik.s3.existence import Existence
from parparchik.s3.failures import Operation, Rejection, error_of
from parparchik.s3.head import Heads
from parparchik.s3.operation import Operations
from parparchik.s3.presign import Presigner
from parparchik.s3.probe import Prober
from parparchik.s3.request import PiecewiseBody
from parparchik.s3.response import object_head
from parparchik.s3.sigv4 import Credentials
from parparchik.s3.transport import Transport
from parparchik.s3.xml import parse_list_page

OBJECT_MAX_BYTES = 1 << 30  # of what is read whole: a manifest of some five million entries
PAGE_KEYS = 1000  # the most that S3 gives

_INLINE_HASH_BYTES = 1 << 20  # a millisecond's work; more goes to a thread


class S3Bucket:
    """`client` sends through `transport`; `operations` are the bucket's own.

    `credentials` returns those to sign with, without I/O, the same object as long as they stay
    the same; or raises NoCredentials.
    """

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
        region = config.endpoint.region
        self._bucket = config.bucket
        self._region = region
        self._s3 = s3
        self._credentials = credentials
        self._now = now
        self._address = internal_address(config.bucket.name, config.endpoint)
        self._external = external_address(config.bucket.name, config.endpoint)
        self._presigner = Presigner(str(self._external.origin), region)
        self._caller = Caller(
            transport,
            self._address.origin,
            SigV4Auth(credentials, region, now=now),
            httpx.Timeout(s3.read_timeout_s, connect=s3.connect_timeout_s),
        )
        prober = Prober(
            transport.pool(self._address.origin),
            self._address,
            region=region,
            credentials=credentials,
            connect_timeout_s=s3.connect_timeout_s,
            reactor=transport.reactor,
            shelf=transport.shelf,
            now=now,
        )
        existence = Existence(self._caller, self._address, credentials=credentials, now=now)
        self._operations = operations
        self.statistics = operations.statistics
        heads = Heads(config, s3, prober, existence, self._operations)
        self.head, self.head_soon = heads.head, heads.head_soon

    @property
    def bucket(self) -> Bucket:
        return self._bucket

    async def get(self, key: str) -> StoredObject | None:
        """Raises UpstreamError for what is larger than OBJECT_MAX_BYTES, too."""
        return await self._operations.run("get", partial(self._get, key))

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """A conditional write is retried as any other. When a first try took effect but its answer
        got lost, the second finds the object changed, by ourselves: PreconditionFailed, as if it
        had been another writer. Who then reads what is there and merges loses nothing.
        """
        headers = {
            "content-type": content_type,
            "content-length": str(sum(map(len, pieces))),
            "x-amz-content-sha256": await _sha256(pieces),
        }
        if if_match is not None:
            headers["if-match"] = if_match
        if if_none_match is not None:
            headers["if-none-match"] = if_none_match
        return await self._operations.run("put", partial(self._put, key, pieces, headers))

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(PAGE_KEYS))]
        if token is not None:
            query.append(("continuation-token", token))
        if start_after is not None:
            query.append(("start-after", start_after))
        if prefix:
            query.append(("prefix", prefix))
        return await self._operations.run("list", partial(self._list_page, query))

    def public_url(self, key: str) -> str:
        return self._external.url(key)

    def presign(self, method: Method, key: str, *, expires_s: int) -> PresignedUrl:
        credentials, now_s = self._credentials(), self._now()
        url = self._presigner.url(
            method,
            self._external.path(key),
            credentials=credentials,
            now_s=now_s,
            expires_s=expires_s,
        )
        ends_s = now_s + expires_s
        if credentials.expires_at_s is not None:
            ends_s = min(ends_s, credentials.expires_at_s)
        return PresignedUrl(url, ends_s)

    async def _get(self, key: str) -> StoredObject | None:
        reply = await self._caller.call("GET", self._address.path(key), max_bytes=OBJECT_MAX_BYTES)
        if reply.status == 200:
            return StoredObject(reply.body, object_head(reply))
        rejection = Rejection.of(reply, now_s=self._now())
        if rejection.says_no_key or (self._s3.denied_is_missing and rejection.says_denied):
            return None
        raise self._error(rejection, "get")

    async def _put(self, key: str, pieces: Sequence[bytes], headers: dict[str, str]) -> str:
        reply = await self._caller.call(
            "PUT", self._address.path(key), headers=headers, body=PiecewiseBody(pieces)
        )
        if reply.status == 200:
            return reply.headers.get(b"etag", b"").decode("latin-1")
        raise self._error(Rejection.of(reply, now_s=self._now()), "put")

    async def _list_page(self, query: list[tuple[str, str]]) -> ListPage:
        reply = await self._caller.call("GET", self._address.bucket_path, query=query)
        if reply.status == 200:
            return parse_list_page(reply.body)
        raise self._error(Rejection.of(reply, now_s=self._now()), "list")

    def _error(self, rejection: Rejection, operation: Operation) -> UpstreamError:
        return error_of(rejection, operation, self._bucket.name, self._region)


async def _sha256(pieces: Sequence[bytes]) -> str:
    """In hex. hashlib lets go of the interpreter while it hashes, so a thread keeps a large
    manifest from stalling everybody."""

    def digest() -> str:
        state = hashlib.sha256()
        for piece in pieces:
            state.update(piece)
        return state.hexdigest()

    if sum(map(len, pieces)) <= _INLINE_HASH_BYTES:
        return digest()
    return await trio.to_thread.run_sync(digest)
