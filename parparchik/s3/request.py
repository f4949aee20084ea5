"""Writing one request: its head as bytes, its body as it comes.

What httpx built is sent as it is, after a look at whether it can be misread: a line break in a
header's value, or a body that is not as long as announced, would be the beginning of somebody
else's request (RFC 9112 section 11.1).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from functools import lru_cache
from typing import cast

import httpx
import trio

from parparchik.s3.connection import Connection

TARGET = "target"
"""The extension of an httpx.Request that is sent in place of its URL's path and query, as httpx has
it for targets in an encoding of their own."""

SMALL_BYTES = 64 * 1024
"""A body in memory that has no more goes out with its head, in one."""

_SLICE_BYTES = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_VALUE = re.compile(r"[\x00\r\n]")
_TARGET = re.compile(r"[\x21-\x7e]+")


Piece = bytes | bytearray | memoryview


class PiecewiseBody(httpx.AsyncByteStream):
    """A body in memory, in pieces that need not be joined, given out as often as it takes."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield cast("bytes", piece)  # what sends it takes any of them


def request_target(request: httpx.Request) -> bytes:
    """What stands in the request line."""
    target: bytes | None = request.extensions.get(TARGET)
    return request.url.raw_path if target is None else target


def head_of(request: httpx.Request) -> bytes:
    """Raises httpx.LocalProtocolError."""
    headers = request.headers.raw
    return serialise_head(
        request.method,
        request_target(request).decode("latin-1"),
        tuple([name.decode("latin-1") for name, _ in headers]),
        [value.decode("latin-1") for _, value in headers],
    )


def serialise_head(
    method: str, target: str, names: tuple[str, ...], values: Collection[str]
) -> bytes:
    """Request line and header block, the headers' text by ISO 8859-1. Raises
    httpx.LocalProtocolError, and UnicodeEncodeError for other text."""
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("the request's method or target is malformed")
    head = _template(names) % (method, target, *values)
    breaks = len(names) + 2
    if head.count("\r") != breaks or head.count("\n") != breaks or "\0" in head:
        name = next(n for n, value in zip(names, values, strict=True) if _NO_VALUE.search(value))
        raise _malformed(name)
    return head.encode("latin-1")


@lru_cache(maxsize=128)  # the same names come again and again
def _template(names: tuple[str, ...]) -> str:
    """Of a request line and headers with these names."""
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise _malformed(name)
    lines = [f"{name.replace('%', '%%')}: %s" for name in names]
    return "\r\n".join(["%s %s HTTP/1.1", *lines, "", ""])


def _malformed(name: str) -> httpx.LocalProtocolError:
    return httpx.LocalProtocolError(f"the request's header {name!r:.80} is malformed")


class RequestBody:
    """A request's body on its way, with Content-Length or in chunks, as its headers say."""

    __slots__ = ("_begun", "_length", "_stream")

    def __init__(self, request: httpx.Request) -> None:
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise TypeError("the request's body is a synchronous iterator")
        length = request.headers.get("content-length")
        chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
        self._stream = request.stream
        self._length = None if chunked else int(length or 0)
        self._begun = False

    @property
    def repeatable(self) -> bool:
        return not self._begun or isinstance(self._stream, (httpx.ByteStream, PiecewiseBody))

    def after(self, head: bytes) -> bytes | None:
        """The whole request, if its body is small and in memory, and as long as announced."""
        if self._length == 0:
            return head
        if self._length is None or self._length > SMALL_BYTES:
            return None
        if isinstance(self._stream, PiecewiseBody):
            whole = b"".join([head, *self._stream.pieces])
        elif isinstance(self._stream, httpx.ByteStream):
            whole = b"".join([head, *self._stream])
        else:
            return None
        return whole if len(whole) == len(head) + self._length else None

    async def send(self, connection: Connection, write_timeout_s: float) -> None:
        """Raises httpx.WriteError, httpx.WriteTimeout, httpx.LocalProtocolError when the body is
        not as long as announced, and what the body's own iteration raises."""
        self._begun = True
        sent = 0
        pieces = self._stream.__aiter__()
        try:
            async for piece in pieces:
                sent += len(piece)
                if self._length is not None and sent > self._length:
                    break
                await self._send_piece(connection, piece, write_timeout_s)
        finally:
            if isinstance(pieces, AsyncGenerator):  # or else it ends at the collector's leisure
                await pieces.aclose()
        if self._length is None:
            await send_within(connection, b"0\r\n\r\n", write_timeout_s)
        elif sent != self._length:
            raise httpx.LocalProtocolError(
                f"the request's body has not the announced {self._length} bytes"
            )

    async def _send_piece(
        self, connection: Connection, piece: bytes, write_timeout_s: float
    ) -> None:
        view = memoryview(piece)
        for start in range(0, len(view), _SLICE_BYTES):
            # A socket that never blocks must not keep the other tasks waiting.
            await trio.lowlevel.checkpoint()
            part: bytes | memoryview = view[start : start + _SLICE_BYTES]
            if self._length is None:  # in chunks (RFC 9112 section 7.1)
                part = b"".join([b"%x\r\n" % len(part), part, b"\r\n"])
            await send_within(connection, part, write_timeout_s)


async def send_within(
    connection: Connection, data: bytes | memoryview, write_timeout_s: float
) -> None:
    """Raises httpx.WriteTimeout beside what the connection raises."""
    with trio.move_on_after(write_timeout_s):
        await connection.send(data)
        return
    raise httpx.WriteTimeout(f"nothing could be sent for {write_timeout_s:g} s")


async def flush_within(connection: Connection, write_timeout_s: float) -> None:
    """The rest of what was to be sent at once. Raises the same."""
    with trio.move_on_after(write_timeout_s):
        await connection.flush()
        return
    raise httpx.WriteTimeout(f"nothing could be sent for {write_timeout_s:g} s")
