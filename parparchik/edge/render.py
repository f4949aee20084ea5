"""Answers as they are written: the bytes of HTTP/1.1 responses.

The web plane's answers have the same fields in the same order: the answer's own, Content-Length,
the request id, Date, Transfer-Encoding where there is no Content-Length, and last, where the
connection ends, Connection.
"""

from __future__ import annotations

from http import HTTPStatus

from parparchik.model import Answer
from parparchik.rfc import format_http_date

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}

GOES_ON = b"\r\n\r\n"
ENDS = b"\r\nconnection: close\r\n\r\n"
"""What ends a head after its Date."""

CHUNKED = b"\r\ntransfer-encoding: chunked"


def render_beginning(answer: Answer) -> bytes:
    """A response up to where its request id goes: all of it that stays the same for one answer."""
    lines = [b"HTTP/1.1 %d %b" % (answer.status, _PHRASES.get(answer.status, b""))]
    lines += [b"%b: %b" % field for field in answer.headers]
    if answer.has_body and not answer.open_ended:
        lines.append(b"content-length: %d" % answer.size_bytes)
    lines.append(b"x-request-id: ")
    return b"\r\n".join(lines)


def date_line(now_s: float) -> bytes:
    """What follows the request id."""
    return b"\r\ndate: " + format_http_date(int(now_s)).encode()
