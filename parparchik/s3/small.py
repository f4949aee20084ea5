"""A small request as one row of bytes, signed.

For an object of a few KiB, building httpx's request and taking it apart again, to sign it and to
write it, costs as much as all the rest. What is small is all there before it is sent, so it needs
nothing but its bytes. How they are encoded, signed and written is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import httpx

from parparchik.s3.addressing import target_of
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.request import SMALL_BYTES, Piece, PiecewiseBody, serialise_head
from parparchik.s3.sigv4 import EMPTY_PAYLOAD_SHA256, UNSIGNED_PAYLOAD


def small_body(
    method: str, headers: Mapping[str, str] | None, body: httpx.AsyncByteStream | None
) -> Sequence[Piece] | None:
    """The body of a request that goes as one row of bytes: it has `SMALL_BYTES` at most, or none,
    the request may be repeated, and its answer is small. None for any other request."""
    if body is None:
        return () if method in ("HEAD", "DELETE") else None
    if method != "PUT" or not isinstance(body, PiecewiseBody):
        return None
    size_bytes = sum(map(len, body.pieces))
    announced = (headers or {}).get("content-length")
    return body.pieces if size_bytes <= SMALL_BYTES and announced == str(size_bytes) else None


def signed_request(
    auth: SigV4Auth,
    method: str,
    path: str,
    *,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    pieces: Sequence[Piece],
) -> bytes:
    """`path` and `query` are encoded; headers are sent as ISO 8859-1, their names are in lower
    case. Raises BadTarget, httpx.LocalProtocolError, and what the credentials raise."""
    target = target_of(path, query)
    unstated = UNSIGNED_PAYLOAD if pieces else EMPTY_PAYLOAD_SHA256
    payload_hash = headers.get("x-amz-content-sha256", unstated)
    added = auth.sign(method, path, query, _as_signed(headers), payload_hash=payload_hash)
    sent = {**headers, **dict(added)}
    head = serialise_head(method, target, tuple(sent), sent.values())
    return b"".join([head, *pieces])


def _as_signed(headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Who checks a signature takes the bytes of a header for UTF-8."""
    if "".join(headers.values()).isascii():
        return headers.items()
    return [(name, _utf_8(value)) for name, value in headers.items()]


def _utf_8(value: str) -> str:
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
