"""What a client would rather read: a page or JSON (RFC 9110 section 12.5.1). Pure."""

from __future__ import annotations

from typing import NamedTuple

from parparchik.model import Request

_HTML = "text/html"
_JSON = "application/json"


class _Range(NamedTuple):
    media: str
    quality: float


def prefers_json(request: Request) -> bool:
    """Only where it says so: who takes anything gets a page."""
    ranges = _ranges(request.header(b"accept"))
    return _quality(ranges, _JSON) > _quality(ranges, _HTML)


def navigates(request: Request) -> bool:
    """Whether this is a person who goes to a page, as far as the client tells: it names HTML among
    what it takes, and where it says what the request is for (Fetch Metadata, Sec-Fetch-Mode), that
    is a navigation. A script that fetches data takes anything."""
    mode = request.header(b"sec-fetch-mode").strip().lower()
    if mode not in (b"", b"navigate"):
        return False
    ranges = _ranges(request.header(b"accept"))
    return any(media == _HTML and quality > 0 for media, quality in ranges)


def _quality(ranges: list[_Range], media: str) -> float:
    """The most specific range counts, not the highest weight."""
    for pattern in (media, media.partition("/")[0] + "/*", "*/*"):
        for given, quality in ranges:
            if given == pattern:
                return quality
    return 0.0


def _ranges(accept: bytes) -> list[_Range]:
    """The ranges that can be understood; their other parameters are ignored."""
    ranges = []
    for element in accept.decode("ascii", "replace").split(","):
        media, *parameters = (part.strip().lower() for part in element.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if media and 0 <= quality <= 1:
            ranges.append(_Range(media, quality))
    return ranges
