"""The answers of file routes, as bytes. Pure.

What stands in a header is decided here, once, for every plane that writes answers.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import msgspec

from parparchik.errors import OutOfRange, ParparchikError, Unauthorized, Unavailable
from parparchik.model import Answer
from parparchik.routes.authorize import CHALLENGE

_JSON = (b"content-type", b"application/json")
# A 404 is true for the moment, a 401 or a 5xx for this caller and this moment.
_NO_STORE = (b"cache-control", b"no-store")

_encode = msgspec.json.Encoder().encode


class _NotFound(msgspec.Struct):
    error: str
    route: str


class _Problem(msgspec.Struct):
    error: str


def redirect(location: str, *, kind: str, private: bool, verified: bool | None) -> Answer:
    """302 (RFC 9110 section 15.4.3) to `location`.

    A redirect is only ever true now, and a presigned one is a secret besides: caches may not keep
    it. `verified` None leaves X-Parparchik-Verified out.
    """
    headers = [
        (b"location", location.encode("ascii")),
        (b"cache-control", b"private, no-store" if private else b"no-cache"),
    ]
    if verified is not None:
        headers.append((b"x-parparchik-verified", b"fresh" if verified else b"stale"))
    return Answer(302, tuple(headers), kind=kind)


def not_found(route: str, *, kind: str) -> Answer:
    return Answer(404, (_JSON, _NO_STORE), _encode(_NotFound("file not found", route)), kind)


def unauthorized(*, kind: str) -> Answer:
    body = _encode(_Problem("an API key is needed: Authorization: Bearer, or X-API-Key"))
    return Answer(401, (_JSON, _NO_STORE, (b"www-authenticate", CHALLENGE)), body, kind)


def problem(status: int, reason: str = "", *, kind: str = "other") -> Answer:
    """The answer of a plane itself, for a request that nobody else is asked about; `reason` stands
    for the status's phrase."""
    body = _encode(_Problem(reason or HTTPStatus(status).phrase.lower()))
    return Answer(status, (_JSON,), body, kind)


def too_many_requests(retry_after_s: int) -> Answer:
    """429 (RFC 6585 section 4), which no cache may store."""
    refusal = problem(429)
    headers = (*refusal.headers, _NO_STORE, (b"retry-after", b"%d" % retry_after_s))
    return replace(refusal, headers=headers)


def failure(error: ParparchikError, *, kind: str) -> Answer:
    """What an error of ours looks like to a client."""
    headers = [_JSON, _NO_STORE]
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    elif isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", CHALLENGE))
    elif isinstance(error, OutOfRange) and error.size_bytes >= 0:
        headers.append((b"content-range", b"bytes */%d" % error.size_bytes))
    return Answer(error.status, tuple(headers), _encode(_Problem(error.client_message)), kind)
