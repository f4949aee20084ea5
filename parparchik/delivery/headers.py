"""The header of an answer with an object. Pure.

What the mode adds takes the place of what the object has under the same name; only Vary is added
to, as a list.
"""

from __future__ import annotations

from collections.abc import Iterable

from parparchik.content import Representation
from parparchik.model import Headers
from parparchik.rfc import format_http_date, guess_media_type

UNKNOWN_TYPE = "application/octet-stream"
_NOBODY_SAID = ("", "binary/octet-stream")
"""The latter is what S3 says of an object that was stored without a type (PutObject); it is no
registered type, and no client knows what to do with it."""
_OF_A_304 = frozenset(
    {
        *(b"etag", b"cache-control", b"expires", b"vary", b"content-location"),
        *(b"x-cache", b"age"),
    }
)
"""RFC 9110 section 15.4.5: what a cache needs to go on using what it has. The rest it has."""
_NOT_OF_A_PAGE = frozenset({"cache-control", "expires"})
"""How long the page's object may be kept says nothing of what it is the answer to."""
_LONGEST_S = 365 * 86_400  # a year: more means no more to a client, and an Expires has an end
_VARY = (b"vary", b"Accept-Encoding")
_RANGES = (b"accept-ranges", b"bytes")
_NO_STORE = (b"cache-control", b"no-store")


def media_type(representation: Representation, key: str) -> str:
    """What S3 says, else what the key's extension says."""
    if representation.content_type not in _NOBODY_SAID:
        return representation.content_type
    return guess_media_type(key) or UNKNOWN_TYPE


def of_object(
    representation: Representation,
    *,
    content_type: str,
    etag: str,
    default_max_age_s: float | None,
    confirmed_at_s: float,
) -> list[tuple[bytes, bytes]]:
    """All that is said of a stored object. `confirmed_at_s`: when S3 last said that it holds."""
    headers = [(b"content-type", encode(content_type))]
    headers += ((name.encode("latin-1"), encode(value)) for name, value in representation.headers)
    if etag:
        headers.append((b"etag", encode(etag)))
    if representation.last_modified_s:
        date = format_http_date(representation.last_modified_s)
        headers.append((b"last-modified", date.encode("ascii")))
    headers.append(_RANGES)
    if (
        default_max_age_s is not None
        and not representation.header("cache-control")
        and not representation.header("expires")
    ):
        seconds = min(int(default_max_age_s), _LONGEST_S)
        headers.append((b"cache-control", b"max-age=%d" % seconds))
        expires = format_http_date(int(confirmed_at_s) + seconds)
        headers.append((b"expires", expires.encode("ascii")))
    return headers


def of_page(representation: Representation, content_type: str) -> list[tuple[bytes, bytes]]:
    """Of an error page: its validators are none of the resource that was asked for, and it is
    true for the moment."""
    headers = [(b"content-type", encode(content_type))]
    headers += (
        (name.encode("latin-1"), encode(value))
        for name, value in representation.headers
        if name not in _NOT_OF_A_PAGE
    )
    headers.append(_NO_STORE)
    return headers


def finish(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    varies: bool,
    status: str,
    age_s: int | None,
    added: Headers,
) -> Headers:
    """What the way here adds, and the mode. `age_s` None: it was not kept."""
    given = {name for name, _ in added}
    finished = [header for header in headers if header[0] not in given]
    if varies and not _names_it_already(added):
        finished.append(_VARY)
    finished.append((b"x-cache", status.encode("ascii")))
    if age_s is not None:
        finished.append((b"age", b"%d" % age_s))
    finished += added
    return tuple(finished)


def _names_it_already(added: Headers) -> bool:
    return any(name == b"vary" and b"accept-encoding" in value.lower() for name, value in added)


def for_304(headers: Headers, added: Headers) -> Headers:
    """What of a 200's header a 304 has. Without an ETag, Last-Modified is the validator."""
    kept = _OF_A_304 | {name for name, _ in added if not name.startswith(b"content-")}
    if not any(name == b"etag" for name, _ in headers):
        kept |= {b"last-modified"}
    return tuple(header for header in headers if header[0] in kept)


def encode(value: str) -> bytes:
    """As S3 sent it: a byte a character; what is more than that came as UTF-8."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")
