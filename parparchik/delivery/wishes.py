"""What a request wants of the object that answers it, whichever that is. Pure."""

from __future__ import annotations

from typing import NamedTuple

from parparchik.content import Span
from parparchik.model import Request
from parparchik.rfc import ByteRange, Conditions, parse_ranges

_FIELDS = {
    b"accept-encoding",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"range",
}
_BEYOND_ANY = (1 << 50) - 1  # no S3 has an object that reaches as far
_NO_CONDITIONS = Conditions()


class Wishes(NamedTuple):
    """Two requests with the same wishes get the same answer. `ranges` None: the whole is wanted;
    `if_range` counts only where it is not."""

    head: bool
    conditions: Conditions = _NO_CONDITIONS
    ranges: tuple[ByteRange, ...] | None = None
    if_range: str = ""
    accept_encoding: str = ""

    @property
    def may_need_no_body(self) -> bool:
        """Whether the client may have it already."""
        return bool(self.conditions.if_none_match or self.conditions.if_modified_since)

    @property
    def text_size(self) -> int:
        """Characters of what the client wrote."""
        return sum(map(len, self.conditions)) + len(self.if_range) + len(self.accept_encoding)

    @property
    def only_span(self) -> Span | None:
        """The one span that is wanted whatever the object's size; None where that depends on it,
        or on what the object is."""
        if self.ranges is None or len(self.ranges) != 1 or self.if_range:
            return None
        first, last = self.ranges[0]
        return None if first is None else Span(first, _BEYOND_ANY if last is None else last)


def read_wishes(request: Request) -> Wishes:
    """Never raises: what is malformed is as RFC 9110 has it ignored or compared."""
    given: dict[bytes, str] = {}
    for name, value in request.headers:
        if name in _FIELDS:
            text = value.decode("latin-1")
            given[name] = f"{given[name]}, {text}" if name in given else text
    head = request.method == "HEAD"
    if not given:
        return Wishes(head)
    accept_encoding = given.pop(b"accept-encoding", "")
    if not given:
        return Wishes(head, accept_encoding=accept_encoding)
    # Of the methods that there are only GET knows ranges (RFC 9110 section 14.2).
    ranges = None if head else parse_ranges(given.get(b"range", ""))
    conditions = Conditions(
        given.get(b"if-match", ""),
        given.get(b"if-unmodified-since", ""),
        given.get(b"if-none-match", ""),
        given.get(b"if-modified-since", ""),
    )
    if_range = "" if ranges is None else given.get(b"if-range", "")
    return Wishes(head, conditions or _NO_CONDITIONS, ranges, if_range, accept_encoding)
