"""What S3 says of an object in the headers of a HEAD or a GET, and how the same is stored.

Headers of objects are text by ISO 8859-1, which gives back every byte as it came. What is stored
must be UTF-8 behind that: of other bytes no two servers make the same text to sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from parparchik.content import Representation, Span, Storing
from parparchik.errors import ClientError, UpstreamError
from parparchik.rfc import parse_age, parse_http_date

META = "x-amz-meta-"
_VERSION = "x-amz-version-id"
_STORED = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "expires",
        _VERSION,
    }
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_CONTENT_RANGE = re.compile(rb"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19})")
_LENGTH = re.compile(rb"[0-9]{1,19}")


class ContentRange(NamedTuple):
    """`span` is None where none of the object's `size_bytes` was in the range."""

    span: Span | None
    size_bytes: int


def parse_content_range(value: bytes) -> ContentRange:
    """Raises ValueError, also for a size that is not said (RFC 9110 section 14.4)."""
    match = _CONTENT_RANGE.fullmatch(value.strip(b" \t"))
    if match is None:
        raise ValueError(f"not a Content-Range: {value!r:.80}")
    size_bytes = int(match[3])
    if match[1] is None:
        return ContentRange(None, size_bytes)
    span = Span(int(match[1]), int(match[2]))
    if not span.first <= span.last < size_bytes:
        raise ValueError(f"not a possible Content-Range: {value!r:.80}")
    return ContentRange(span, size_bytes)


def parse_length(value: bytes | None) -> int:
    """A Content-Length. Raises ValueError, also where there is none."""
    if value is None or _LENGTH.fullmatch(value.strip(b" \t")) is None:
        raise ValueError(f"not a Content-Length: {value!r:.80}")
    return int(value)


def quoted(etag: str) -> str:
    """An ETag with the quotes that some servers leave out of some answers."""
    return f'"{etag}"' if etag and '"' not in etag else etag


def stored_headers(headers: Mapping[bytes, bytes]) -> tuple[tuple[str, str], ...]:
    """Those that were stored with the object, out of an answer's."""
    found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items()]
    return tuple(each for each in found if _is_stored(each[0]))


def representation_of(headers: Mapping[bytes, bytes], size_bytes: int) -> Representation:
    """Raises UpstreamError. Every S3 says when an object was modified, what stands before it need
    not (RFC 9110 section 8.8.2): then it is not known."""
    modified = headers.get(b"last-modified")
    try:
        last_modified_s = 0 if modified is None else parse_http_date(modified.decode("latin-1"))
    except ValueError as error:
        raise UpstreamError(f"S3 describes an object oddly: {error}") from error
    return Representation(
        size_bytes=size_bytes,
        last_modified_s=last_modified_s,
        etag=quoted(headers.get(b"etag", b"").decode("latin-1")),
        content_type=headers.get(b"content-type", b"").decode("latin-1"),
        headers=stored_headers(headers),
        age_s=age_of(headers),
    )


def age_of(headers: Mapping[bytes, bytes]) -> int:
    """What a cache before S3 says, in seconds (RFC 9111 section 5.1); S3 itself says nothing."""
    return parse_age(headers.get(b"age", b"").decode("latin-1"))


def storing_headers(storing: Storing) -> dict[str, str]:
    """What a request sends for the object to have, its conditions left out. Headers that are not
    stored are not sent. Raises ClientError for what no request can say."""
    given = [each for each in storing.headers if _is_stored(each[0]) and each[0] != _VERSION]
    if storing.content_type:
        given.append(("content-type", storing.content_type))
    _check(given)
    return dict(given)


def conditions_of(storing: Storing) -> dict[str, str]:
    """Raises ClientError likewise."""
    given = [("if-match", storing.if_match), ("if-none-match", storing.if_none_match)]
    conditions = [each for each in given if each[1]]
    _check(conditions)
    return dict(conditions)


def _is_stored(name: str) -> bool:
    return name in _STORED or name.startswith(META)


def _check(headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if not (
            _is_name(name) and _VALUE.fullmatch(value) and (value.isascii() or _is_text(value))
        ):
            raise ClientError(f"the header {name!r:.80} cannot be stored with an object")


@lru_cache(maxsize=128)  # few come again and again
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _is_text(value: str) -> bool:
    try:
        value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True
