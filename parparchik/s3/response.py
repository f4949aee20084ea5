"""Reading one response, free of I/O: bytes in; status, headers and pieces of the body out.

llhttp (through httptools) does the parsing, strictly. Around it stand the things that a parser
cannot know and that keep answers from being mixed up: that the answer to a HEAD has no body
whatever its headers say, that an end of the connection is the end of some bodies and the
truncation of others, that interim responses come first, and that bytes beyond the end belong to
nobody, so that the connection they came on must not be used again.

Message framing: RFC 9112 section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import httptools
import httpx

from parparchik.errors import UpstreamError
from parparchik.model import ObjectHead
from parparchik.rfc import parse_http_date

MAX_HEAD_BYTES = 64 * 1024  # of one response, with the interim ones before it

_HEAD_END = b"\r\n\r\n"
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # without: a body ends at the end
_LISTS = (b"cache-control", b"content-encoding", b"content-language")


class Reply(NamedTuple):
    """A whole answer. Headers as `by_name` gives them."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes = b""


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers, whose names are in lower case. Of one that came twice the last counts, unless it is
    a list (RFC 9110 section 5.3): a proxy's `Cache-Control: max-age=60` does not lift the
    object's `no-store`."""
    found = dict(headers)
    if len(found) < len(headers):
        for name in _LISTS:
            lines = [value for given, value in headers if given == name]
            if lines:
                found[name] = b", ".join(lines)
    return found


def object_head(reply: Reply) -> ObjectHead:
    """What a success says of the object.

    Every S3 sends Last-Modified: without it, it is a web server of another kind that says 200 to
    everything. A missing Content-Length (a proxy that recodes) counts as 0, not known.
    """
    modified = reply.headers.get(b"last-modified")
    if modified is None:
        raise UpstreamError("a 200 without Last-Modified: S3_ENDPOINT is no S3 server")
    try:
        return ObjectHead(
            size_bytes=int(reply.headers.get(b"content-length", b"0")),
            last_modified_s=parse_http_date(modified.decode("latin-1")),
            etag=reply.headers.get(b"etag", b"").decode("latin-1"),
        )
    except ValueError as error:
        raise UpstreamError(f"S3 describes an object oddly: {error}") from error


class ResponseParser:
    """`status`, `reason` and `headers` (names in lower case) are valid once `head_complete`.

    `started`: a byte came. `keep_alive`: the server will read another request. `feed` and
    `feed_eof` raise httpx.RemoteProtocolError.
    """

    __slots__ = (
        "_events",
        "_head",
        "_head_bytes",
        "_left",
        "_parser",
        "_to_head",
        "complete",
        "excess",
        "head_complete",
        "keep_alive",
        "started",
        "status",
    )

    def __init__(self, *, to_head: bool) -> None:
        """`to_head`: the request is a HEAD."""
        self.started = False
        self.head_complete = False
        self.complete = False
        self.excess = False  # bytes came that belong to no response
        self.keep_alive = False
        self.status = 0
        self._to_head = to_head
        self._head = bytearray()  # what came of a head that is not complete
        self._left: int | None = None  # bytes of a body whose length is known
        self._head_bytes = 0
        self._begin()

    @property
    def reason(self) -> bytes:
        return self._events.reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return self._events.headers

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.complete and self.keep_alive and not self.excess

    def take_body(self) -> list[bytes]:
        """The pieces of the body that came since the last call."""
        taken, self._events.body = self._events.body, []
        return taken

    def feed(self, data: bytes) -> None:
        self.started = True
        while data and not self.head_complete:
            data = self._feed_head(data)
        if data and self.complete:
            self.excess = True
        elif data and self._left is not None:
            self._take(data, self._left)
        elif data:
            self._parse(data)
            self.complete = self._events.ended
            self.excess = self._events.excess

    def _take(self, data: bytes, left: int) -> None:
        """Bytes that need no parsing, nor the copy that llhttp's callback makes."""
        self.excess = len(data) > left
        self._events.body.append(data[:left])  # all of it is itself
        self._left = max(0, left - len(data))
        self.complete = self._left == 0

    def feed_eof(self) -> None:
        """The server has closed: fine where this is how the body ends."""
        if not self.started:
            raise httpx.RemoteProtocolError("the server closed the connection without an answer")
        if not self.head_complete:
            raise httpx.RemoteProtocolError("the connection ended within the response's head")
        if not self.complete and any(name in _FRAMING for name, _ in self.headers):
            raise httpx.RemoteProtocolError("the connection ended within the response's body")
        self.complete = True
        self.keep_alive = False

    def _begin(self) -> None:
        self._events = _Events()
        self._parser = httptools.HttpResponseParser(self._events)

    def _parse(self, data: bytes | bytearray) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._events.ended:
                raise httpx.RemoteProtocolError(f"not a response: {error}") from error
            self._events.excess = True

    def _feed_head(self, data: bytes) -> bytes:
        """Take what belongs to a head; returns the bytes after its end."""
        search_from = max(0, len(self._head) - len(_HEAD_END))
        self._head += data
        end = self._head.find(_HEAD_END, search_from)
        length = end + len(_HEAD_END) if end >= 0 else len(self._head)
        if self._head_bytes + length > MAX_HEAD_BYTES:
            raise httpx.RemoteProtocolError(
                f"the response's head is larger than {MAX_HEAD_BYTES} bytes"
            )
        if end < 0:
            return b""
        block, rest = self._head[:length], bytes(self._head[length:])
        self._head.clear()
        self._head_bytes += length
        self._parse(block)
        self._end_head()
        return rest

    def _end_head(self) -> None:
        events = self._events
        version = self._parser.get_http_version()
        self.status = self._parser.get_status_code()
        if not events.headers_ended or version not in ("1.1", "1.0") or self.status == 101:
            raise httpx.RemoteProtocolError("not a response to an HTTP/1.1 request")
        if self.status < 200:  # interim: the response is still to come (RFC 9110 section 15.2)
            self._begin()
            return
        self.head_complete = True
        self.complete = events.ended or self._to_head
        options = b",".join([v for name, v in events.headers if name == b"connection"]).lower()
        if not self.complete:
            framing = [each for each in events.headers if each[0] in _FRAMING]
            if len(framing) == 1 and framing[0][0] == b"content-length":
                self._left = int(framing[0][1])  # which llhttp has looked at
        given = {option.strip() for option in options.split(b",")}
        self.keep_alive = b"keep-alive" in given if version == "1.0" else b"close" not in given


class _Events:
    """What httptools reports of one message: in an object of its own, which does not refer to the
    parser, so that no cycle is left behind by each response.

    What comes after the message's end, where a parser may see the next message's beginning, is
    not recorded; trailers are dropped.
    """

    __slots__ = ("body", "ended", "excess", "headers", "headers_ended", "reason")

    def __init__(self) -> None:
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.headers_ended = False
        self.body: list[bytes] = []
        self.ended = False
        self.excess = False

    def on_message_begin(self) -> None:
        if self.ended:
            self.excess = True

    def on_status(self, reason: bytes) -> None:
        if not self.headers_ended:
            self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headers_ended:
            self.headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        self.headers_ended = True

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.body.append(data)

    def on_message_complete(self) -> None:
        self.ended = True
