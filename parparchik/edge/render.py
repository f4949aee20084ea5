"""Answers as they are written: the bytes of HTTP/1.1 responses.

The web plane's answers have the same fields in the same order: the answer's own, Content-Length,
the request id, Date, and last, where the connection ends, Connection.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from parparchik.edge.framing import Refusal
from parparchik.model import Answer
from parparchik.rfc import format_http_date

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}

GOES_ON = b"\r\n\r\n"
ENDS = b"\r\nconnection: close\r\n\r\n"
"""What ends a head after its Date."""


class Problem(msgspec.Struct, frozen=True):
    """The body of what the edge itself answers."""

    error: str


def render_beginning(answer: Answer) -> bytes:
    """A response up to where its request id goes: all of it that stays the same for one answer."""
    lines = [b"HTTP/1.1 %d %b" % (answer.status, _PHRASES.get(answer.status, b""))]
    lines += [b"%b: %b" % field for field in answer.headers]
    lines.append(b"content-length: %d" % len(answer.body))
    lines.append(b"x-request-id: ")
    return b"\r\n".join(lines)


def date_line(now_s: float) -> bytes:
    """What follows the request id."""
    return b"\r\ndate: " + format_http_date(int(now_s)).encode()


def problem(status: int, reason: str = "", *, kind: str = "other") -> Answer:
    """The web plane's answer for `status`; `reason` stands for its phrase."""
    body = msgspec.json.encode(Problem(reason or HTTPStatus(status).phrase.lower()))
    return Answer(status, ((b"content-type", b"application/json"),), body, kind)


def refuse(refusal: Refusal) -> Answer:
    return problem(refusal.status, refusal.reason, kind="invalid")


def render_refusal(refusal: Refusal, request_id: bytes, now_s: float) -> bytes:
    """The last answer of a connection, whole. Its method is not known to mean anything, so it has
    a body whatever it is."""
    answer = refuse(refusal)
    return b"".join((render_beginning(answer), request_id, date_line(now_s), ENDS, answer.body))
