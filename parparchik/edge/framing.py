"""The judge of framing: which bytes of a connection are sound HTTP/1.1 requests.

Whoever stands behind the judge sees only what it has passed. A head, a line of a chunked body and
a trailer section are held back until they are whole; the data of bodies flows. So a parser behind
it that is more lenient never sees what it would be lenient about, and both planes refuse the same
requests. RFC 9112 sections 6 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from parparchik.edge.head import Unsound, check_beginning, check_trailer, parse_head

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How HTTP/2 begins where both sides know of each other (RFC 9113 section 3.4)."""

HEAD_END = b"\r\n\r\n"
LONGEST_CHUNK_LINE_BYTES = 1_024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_chunk_line = re.compile(
    rb'([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|"[\x20\x21\x23-\x5b\x5d-\x7e]*+"))?)*+\r\n'
    % (_TOKEN, _TOKEN)
)

# Each reader takes the bytes and where its part of them begins, and gives where that ends.
_Read = Callable[[bytes, int], int]
_INCOMPLETE = -1  # nothing can be said of it yet


class Refusal(NamedTuple):
    """Why no further request is read here; `reason` is one of a fixed set."""

    status: int
    reason: str


class Verdict(NamedTuple):
    """`sound` goes on to whoever serves the connection. With a `refusal` it is the last that
    does: when its requests have been answered, the refusal is the connection's last answer."""

    sound: bytes
    refusal: Refusal | None


class Judge:
    """Follows the requests of one connection, from its first byte on."""

    __slots__ = (
        "_ended",
        "_held",
        "_keep_alive",
        "_left_bytes",
        "_max_head_bytes",
        "_may_switch",
        "_read",
        "_refusal",
        "_seen_bytes",
    )

    def __init__(self, *, max_head_bytes: int = 16_384) -> None:
        self._max_head_bytes = max_head_bytes
        self._held = b""
        self._seen_bytes = 0  # of what is held
        self._left_bytes = 0  # of the body or the chunk
        self._may_switch = True  # HTTP/2 may begin here
        self._keep_alive = True
        self._ended = False
        self._refusal: Refusal | None = None
        self._read: _Read = self._read_head

    @property
    def between_requests(self) -> bool:
        """Whether no request has begun that has not ended."""
        return self._read == self._read_head and not self._held

    def step_aside(self) -> None:
        """Another protocol has been switched to: whatever comes passes."""
        self._read = self._read_anything

    def feed(self, data: bytes) -> Verdict:
        """Judge the next bytes. What comes after a refusal or behind the connection's last
        request is swallowed."""
        if self._refusal is not None or self._ended:
            return Verdict(b"", self._refusal)
        if self._held:
            data = self._held + data
        passed = 0
        try:
            while passed < len(data) and not self._ended:
                position = self._read(data, passed)
                if position == _INCOMPLETE:
                    break
                passed = position
                self._seen_bytes = 0
        except Unsound as unsound:
            self._refusal = Refusal(unsound.status, unsound.reason)
        stopped = self._ended or self._refusal is not None
        self._held = b"" if stopped else data[passed:]
        self._seen_bytes = len(self._held)
        return Verdict(data[:passed], self._refusal)

    def _read_head(self, data: bytes, start: int) -> int:
        if self._may_switch:
            beginning = data[start : start + len(PREFACE)]
            if beginning == PREFACE:
                self.step_aside()
                return len(data)
            if PREFACE.startswith(beginning):
                return _INCOMPLETE
        end = self._end_of_section(data, start)
        if end == _INCOMPLETE:
            check_beginning(data[start:], self._seen_bytes)
            return _INCOMPLETE
        head = parse_head(data[start:end])
        self._keep_alive = head.keep_alive
        self._may_switch = head.upgrade.lower() == b"h2c"
        if head.chunked:
            self._read = self._read_chunk_line
        elif head.content_length:
            self._left_bytes = head.content_length
            self._read = self._read_body
        else:
            self._end_request()
        return end

    def _read_body(self, data: bytes, start: int) -> int:
        taken = min(self._left_bytes, len(data) - start)
        self._left_bytes -= taken
        if not self._left_bytes:
            self._end_request()
        return start + taken

    def _read_chunk_line(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start, start + LONGEST_CHUNK_LINE_BYTES)
        if end < 0:
            if len(data) - start >= LONGEST_CHUNK_LINE_BYTES:
                raise Unsound("bad chunking")
            return _INCOMPLETE
        match = _chunk_line.fullmatch(data, start, end + 1)
        if match is None:
            raise Unsound("bad chunking")
        self._left_bytes = int(match[1], 16)
        self._read = self._read_chunk if self._left_bytes else self._read_trailer
        return end + 1

    def _read_chunk(self, data: bytes, start: int) -> int:
        taken = min(self._left_bytes, len(data) - start)
        self._left_bytes -= taken
        if not self._left_bytes:
            self._read = self._read_chunk_end
        return start + taken

    def _read_chunk_end(self, data: bytes, start: int) -> int:
        end = data[start : start + 2]
        if not b"\r\n".startswith(end):
            raise Unsound("bad chunking")
        if len(end) < 2:
            return _INCOMPLETE
        self._read = self._read_chunk_line
        return start + 2

    def _read_trailer(self, data: bytes, start: int) -> int:
        if data.startswith(b"\r\n", start):
            self._end_request()
            return start + 2
        end = self._end_of_section(data, start)
        if end == _INCOMPLETE:
            if data[start] != 0x0D:
                check_beginning(data[start:], self._seen_bytes)
            return _INCOMPLETE
        check_trailer(data[start:end])
        self._end_request()
        return end

    def _read_anything(self, data: bytes, start: int) -> int:
        return len(data)

    def _end_of_section(self, data: bytes, start: int) -> int:
        """Where the empty line that ends a head or a trailer section ends."""
        end = data.find(HEAD_END, max(start, start + self._seen_bytes - 3))
        length_bytes = len(data) - start if end < 0 else end + 4 - start
        if length_bytes > self._max_head_bytes:
            raise Unsound("request header fields too large", status=431)
        return _INCOMPLETE if end < 0 else end + 4

    def _end_request(self) -> None:
        self._read = self._read_head
        self._ended = not self._keep_alive
