"""A `content.Download`: one answer of S3 to a GET, its head understood, its body still to come.

What S3 announces must agree with itself and with what was asked, or there is no download: bytes
from the wrong place of an object, taken for the right ones, would be kept and served for long.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from parparchik.content import Representation, Span
from parparchik.errors import Truncated, UpstreamError
from parparchik.s3.call import body_of
from parparchik.s3.representation import (
    parse_content_range,
    parse_length,
    representation_of,
)
from parparchik.s3.response import by_name

NOTHING = Span(0, -1)  # of an empty object

_BROKEN = -1  # instead of the bytes that are left: there is no good end any more


class S3Download:
    """Takes over a 200 or a 206 response. See `content.Download`."""

    __slots__ = ("_body", "_left", "_representation", "_response", "_span")

    def __init__(self, response: httpx.Response, asked: Span | None) -> None:
        """Raises UpstreamError where the head makes no sense; then the caller closes it."""
        headers = by_name(response.headers.raw)
        try:
            if response.status_code == 206:
                size_bytes, self._span = _part_announced(headers, asked)
            else:
                size_bytes, self._span = _whole_announced(headers)
        except ValueError as error:
            raise UpstreamError(f"S3 sends an object oddly: {error}") from error
        self._representation = representation_of(headers, size_bytes)
        self._response = response
        self._body = body_of(response)
        self._left = self._span.size_bytes

    @property
    def representation(self) -> Representation:
        return self._representation

    @property
    def span(self) -> Span:
        return self._span

    async def read(self) -> bytes:
        try:
            piece = await self._body.read()
        except httpx.HTTPError as error:
            self._left = _BROKEN
            raise Truncated(f"S3 broke off within an object: {error}") from error
        if not piece and self._left:
            raise Truncated("S3 has left out the rest of an object")
        if len(piece) > self._left:
            self._left = _BROKEN
            await self.aclose()
            raise Truncated("S3 sends more of an object than it had announced")
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        self._body.drop()
        await self._response.aclose()


def _whole_announced(headers: Mapping[bytes, bytes]) -> tuple[int, Span]:
    """Also the answer of a server that does not know ranges (RFC 9110 section 14.2)."""
    size_bytes = parse_length(headers.get(b"content-length"))
    return size_bytes, Span(0, size_bytes - 1) if size_bytes else NOTHING


def _part_announced(headers: Mapping[bytes, bytes], asked: Span | None) -> tuple[int, Span]:
    span, size_bytes = parse_content_range(headers.get(b"content-range", b""))
    if asked is None or span is None:
        raise ValueError("a part that was not asked for")
    if span != Span(asked.first, min(asked.last, size_bytes - 1)):
        raise ValueError(f"asked for {asked}, it sends {span}")
    length = headers.get(b"content-length")
    if length is not None and parse_length(length) != span.size_bytes:
        raise ValueError(f"{span} cannot have {length!r} bytes")
    return size_bytes, span


def size_beyond(headers: Mapping[bytes, bytes], said: int) -> int:
    """The object's size out of a 416, whose body has `said` it or not (-1)."""
    try:
        return parse_content_range(headers.get(b"content-range", b"")).size_bytes
    except ValueError:
        return said
