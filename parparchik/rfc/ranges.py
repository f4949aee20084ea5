"""Ranges of bytes (RFC 9110 section 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from parparchik.content import Span

MAX_RANGES = 32
"""A request for more of them is answered with the whole (section 14.2: egregious ranges)."""
GAP_BYTES = 128
"""Ranges that lie closer together than this are sent as one: the head of a part of its own would
be about as long (section 15.3.7.2)."""

_UNIT = re.compile(r"bytes=", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_ENDLESS = 2**63 - 1


class ByteRange(NamedTuple):
    """As asked for. `first` None: the last `last` bytes; `last` None: to the end."""

    first: int | None
    last: int | None


def parse_ranges(text: str) -> tuple[ByteRange, ...] | None:
    """What a Range field asks for; None where it is to be passed over, as if it were not there:
    another unit, bad syntax, a range that ends before it begins, more than `MAX_RANGES`
    (section 14.2). Never raises."""
    unit = _UNIT.match(text)
    if unit is None:
        return None
    ranges: list[ByteRange] = []
    for member in text[unit.end() :].split(","):
        if not (stripped := member.strip(" \t")):
            continue  # empty members of a list count for nothing (section 5.6.1.2)
        found = _RANGE.fullmatch(stripped)
        if found is None or len(ranges) == MAX_RANGES:
            return None
        first, last = _position(found[1]), _position(found[2])
        if (first is None and last is None) or (
            first is not None and last is not None and last < first
        ):
            return None
        ranges.append(ByteRange(first, last))
    return tuple(ranges) or None


def satisfy(ranges: Sequence[ByteRange], size_bytes: int) -> tuple[Span, ...] | None:
    """What of `size_bytes` is sent: the ranges that have any byte there, in the order in which they
    were asked for, those that overlap or nearly touch as one at the first one's place. () is 416.

    None: all of it, as if no range were asked for: the last bytes of an empty representation, which
    are satisfiable and which no Content-Range can say (sections 14.1.2, 14.4).
    """
    if size_bytes == 0:
        return None if any(r.first is None and r.last for r in ranges) else ()
    asked = []
    for first, last in ranges:
        if first is None:
            span = Span(max(0, size_bytes - (last or 0)), size_bytes - 1)
        else:
            span = Span(first, size_bytes - 1 if last is None else min(last, size_bytes - 1))
        if span.first <= span.last:
            asked.append(span)
    return tuple(asked) if len(asked) < 2 else _coalesce(asked)


def content_range(span: Span, size_bytes: int) -> str:
    """The Content-Range of a 206 (section 14.4)."""
    return f"bytes {span.first}-{span.last}/{size_bytes}"


def unsatisfied_range(size_bytes: int) -> str:
    """The Content-Range of a 416 (section 14.4)."""
    return f"bytes */{size_bytes}"


def _position(digits: str) -> int | None:
    if not digits:
        return None
    # Positions have no limit and must not overflow (section 14.1); numbers of thousands of digits
    # are slow to read, and Python refuses them.
    digits = digits.lstrip("0")
    return _ENDLESS if len(digits) > 18 else int(digits or "0")


def _coalesce(asked: Sequence[Span]) -> tuple[Span, ...]:
    """Spans with, each, the place of the first of those that it was made from."""
    by_position = sorted((span, place) for place, span in enumerate(asked))
    (first, last), place = by_position[0]
    joined: list[tuple[int, Span]] = []
    for span, its_place in by_position[1:]:
        if span.first <= last + GAP_BYTES:
            last = max(last, span.last)
            place = min(place, its_place)
        else:
            joined.append((place, Span(first, last)))
            (first, last), place = span, its_place
    joined.append((place, Span(first, last)))
    return tuple(span for _, span in sorted(joined))
