"""Entity tags (RFC 9110 section 8.8.3)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_ETAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+|[ \t]*\Z")


class ETag(NamedTuple):
    """`opaque` keeps its quotes."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f"W/{self.opaque}" if self.weak else self.opaque


def coded_etag(etag: ETag, coding: str) -> ETag:
    """The tag of what `etag` names in a content coding: `"x"` gives `"x-gzip"`. Two codings of a
    resource are two representations and never share a strong tag (section 8.8.3.3)."""
    return ETag(f'{etag.opaque[:-1]}-{coding}"', etag.weak)


def parse_etag(text: str) -> ETag | None:
    """None for what is no entity tag; `W` is case-sensitive."""
    found = _ETAG.fullmatch(text)
    return None if found is None else ETag(found[2], found[1] is not None)


def parse_etags(text: str) -> tuple[ETag, ...] | Literal["*"]:
    """The value of If-Match or If-None-Match: `*`, or the tags of a list; none where any member is
    malformed, so that such a list matches nothing. Never raises."""
    text = text.strip(" \t")
    if text == "*":
        return "*"
    tags: list[ETag] = []
    at = 0
    leading = _SEPARATOR.match(text)
    if leading is not None:
        at = leading.end()  # empty members count for nothing (section 5.6.1.2)
    while at < len(text):
        found = _ETAG.match(text, at)
        if found is None:
            return ()
        tags.append(ETag(found[2], found[1] is not None))
        separator = _SEPARATOR.match(text, found.end())
        if separator is None:
            return ()
        at = separator.end()
    return tuple(tags)


def strongly_equal(one: ETag, other: ETag) -> bool:
    """Both strong and the same, byte for byte (section 8.8.3.2)."""
    return not one.weak and not other.weak and one.opaque == other.opaque


def weakly_equal(one: ETag, other: ETag) -> bool:
    """The same but for how strong they are (section 8.8.3.2)."""
    return one.opaque == other.opaque
