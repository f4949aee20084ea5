"""Conditional requests (RFC 9110 section 13).

Fields are given as text, '' where the request has none. What is malformed never fails a request
that has it by accident: a date that is none, or more than one, is passed over (sections 13.1.3 and
13.1.4), and a list of entity tags that is none matches nothing, which is what the comparison says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from parparchik.rfc.dates import parse_http_date
from parparchik.rfc.etags import ETag, parse_etag, parse_etags, strongly_equal, weakly_equal

STRONG_AFTER_S = 60
"""A date stands for one version only if that was this old when somebody saw it: within a second an
object may change twice, and clocks differ (RFC 9110 section 8.8.2.2)."""

Outcome = Literal["proceed", "not modified", "failed"]


class Conditions(NamedTuple):
    """True where there is any."""

    if_match: str = ""
    if_unmodified_since: str = ""
    if_none_match: str = ""
    if_modified_since: str = ""

    def __bool__(self) -> bool:
        return any(self)


def evaluate(
    conditions: Conditions,
    *,
    reading: bool,
    exists: bool = True,
    etag: ETag | None = None,
    last_modified_s: int | None = None,
    now_s: float | None = None,
) -> Outcome:
    """Whether a request is carried out, in the order of section 13.2.2: "not modified" is 304,
    "failed" 412. `reading`: it is a GET or a HEAD. The rest is of the selected representation;
    `now_s` helps to read years of two digits."""
    if conditions.if_match:
        if not _holds_if_match(conditions.if_match, exists, etag):
            return "failed"
    elif conditions.if_unmodified_since and last_modified_s is not None:
        since_s = _date(conditions.if_unmodified_since, now_s)
        if since_s is not None and last_modified_s > since_s:
            return "failed"
    if conditions.if_none_match:
        if _matches_any(conditions.if_none_match, exists, etag):
            return "not modified" if reading else "failed"
    elif conditions.if_modified_since and reading and last_modified_s is not None:
        since_s = _date(conditions.if_modified_since, now_s)
        if since_s is not None and last_modified_s <= since_s:
            return "not modified"
    return "proceed"


def range_applies(
    if_range: str, *, etag: ETag | None, last_modified_s: int | None, now_s: float
) -> bool:
    """Whether the Range beside an If-Range counts: the tag is strongly equal, or the date the very
    one of a version that is old enough to be told by it (section 13.1.5). Else the request is for
    the whole. '' applies."""
    if not if_range:
        return True
    given = parse_etag(if_range)
    if given is not None:
        return etag is not None and strongly_equal(given, etag)
    return (
        last_modified_s is not None
        and _date(if_range, now_s) == last_modified_s
        and now_s - last_modified_s >= STRONG_AFTER_S
    )


def _holds_if_match(text: str, exists: bool, etag: ETag | None) -> bool:
    tags = _tags(text, etag)
    if tags == "*":
        return exists
    return etag is not None and any(strongly_equal(tag, etag) for tag in tags)


def _matches_any(text: str, exists: bool, etag: ETag | None) -> bool:
    tags = _tags(text, etag)
    if tags == "*":
        return exists
    return etag is not None and any(weakly_equal(tag, etag) for tag in tags)


def _tags(text: str, etag: ETag | None) -> Sequence[ETag] | Literal["*"]:
    """Those of a list in which `etag` may be. A list of thousands without it takes no time."""
    if "*" not in text and (etag is None or etag.opaque not in text):
        return ()
    return parse_etags(text)


def _date(text: str, now_s: float | None) -> int | None:
    try:
        return parse_http_date(text, now_s=now_s)
    except ValueError:
        return None
