"""What is wrong, as clients of the gateway read it: `{error, code, message}`.

`error` is one of a few fixed texts, `code` the HTTP status, `message` for people.
"""

from __future__ import annotations

import msgspec

from parparchik.errors import (
    BadDigest,
    Overloaded,
    ParparchikError,
    Unauthorized,
    Unavailable,
)
from parparchik.model import Answer, Headers
from parparchik.objects.permissions import NotConfigured, NotPermitted
from parparchik.objects.target import EmptyKey, Place
from parparchik.routes import CHALLENGE

KIND = "objects"
"""What metrics count the gateway's requests under."""

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")

_BY_STATUS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "object not found",
    405: "method not allowed",
    408: "request timeout",
    409: "conflict",
    412: "precondition failed",
    413: "content too large",
    501: "not implemented",
    502: "storage error",
    503: "storage unavailable",
}
_BY_KIND: tuple[tuple[type[ParparchikError], str], ...] = (
    (NotConfigured, "bucket access not configured"),
    (NotPermitted, "operation not permitted"),
    (EmptyKey, "object key is empty"),
    (BadDigest, "bad digest"),
    (Overloaded, "too many requests at a time"),
)


class Problem(msgspec.Struct, frozen=True):
    error: str
    code: int
    message: str


def error_text(error: ParparchikError) -> str:
    for kind, text in _BY_KIND:
        if isinstance(error, kind):
            return text
    return _BY_STATUS.get(error.status, "internal error")


def failure(error: ParparchikError) -> Answer:
    """What an error of ours looks like to a client."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", CHALLENGE))
    return _answer(error.status, error_text(error), error.client_message, tuple(headers))


def not_found(place: Place) -> Answer:
    message = f"bucket {place.bucket!r} has no object {place.key!r}"
    return _answer(404, _BY_STATUS[404], message)


def no_such_method(allow: tuple[str, ...]) -> Answer:
    names = ", ".join(allow)
    return _answer(405, _BY_STATUS[405], f"here there is {names}", ((b"allow", names.encode()),))


def _answer(status: int, error: str, message: str, more: Headers = ()) -> Answer:
    body = msgspec.json.encode(Problem(error, status, message))
    return Answer(status, (JSON, NO_STORE, *more), body, KIND)
