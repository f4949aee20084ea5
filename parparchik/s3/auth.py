"""Signing as an `httpx.Auth`: every request of the S3 client passes through here.

httpx encodes URLs by the WHATWG's rules, S3 checks signatures by its own. So a request's target is
first brought into S3's encoding, and what is then sent is what was signed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_to_bytes

import httpx

from parparchik.s3.request import TARGET, request_target
from parparchik.s3.sigv4 import (
    UNSIGNED_PAYLOAD,
    Credentials,
    Pairs,
    canonical_query,
    encode_key,
    encode_pairs,
    sign_headers,
)

# What gives a request its meaning. The rest (User-Agent, Connection, ...) a proxy may alter.
_SIGNED = frozenset(
    {
        "cache-control",
        "content-encoding",
        "content-md5",
        "content-type",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
    }
)


class SigV4Auth(httpx.Auth):
    """Signs with the credentials that `credentials()` returns at that moment.

    The payload hash is the request's own `x-amz-content-sha256`, else the hash of a body that is
    at hand as bytes, else UNSIGNED-PAYLOAD. Whatever `credentials` raises ends the request.
    """

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        region: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        path, query = _canonicalise(request)
        headers = request.headers
        added = self.sign(
            request.method, path, query, headers.multi_items(), payload_hash=_payload_hash(request)
        )
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in added]
        names = {name for name, _ in fields}
        request.headers = httpx.Headers(
            [*((name, value) for name, value in headers.raw if name.lower() not in names), *fields]
        )
        yield request

    def sign(
        self, method: str, path: str, query: Pairs, headers: Pairs, *, payload_hash: str
    ) -> tuple[tuple[str, str], ...]:
        """The headers to add to a request, names in lower case; each replaces one of that name.
        `path` and `query` are encoded. Of `headers`, whose names are in lower case, those are
        signed that give the request its meaning."""
        return sign_headers(
            method,
            path,
            query,
            [each for each in headers if _is_signed(each[0])],
            payload_hash=payload_hash,
            credentials=self._credentials(),
            region=self._region,
            now_s=self._now(),
        )


@lru_cache(maxsize=128)  # the same names come again and again
def _is_signed(name: str) -> bool:
    return name in _SIGNED or name.startswith("x-amz-")


def _canonicalise(request: httpx.Request) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Rewrites the target in S3's encoding; returns its path and the pairs of its query.

    A plus in a query is read as a space, as httpx writes it and S3 reads it.
    """
    given = request_target(request)
    path, _, query = given.partition(b"?")
    encoded_path = encode_key(unquote_to_bytes(path))
    pairs: tuple[tuple[str, str], ...] = ()
    if query:
        pairs = encode_pairs(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    target = f"{encoded_path}?{canonical_query(pairs)}" if pairs else encoded_path
    raw_path = target.encode("ascii")
    if TARGET in request.extensions:
        request.extensions[TARGET] = raw_path
    elif raw_path != given:
        request.url = request.url.copy_with(raw_path=raw_path)
    return encoded_path, pairs


def _payload_hash(request: httpx.Request) -> str:
    stated = request.headers.get("x-amz-content-sha256")
    if stated:
        return str(stated)
    try:
        return hashlib.sha256(request.content).hexdigest()
    except httpx.RequestNotRead:
        return UNSIGNED_PAYLOAD
