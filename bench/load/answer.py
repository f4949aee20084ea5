"""Judging answers: by comparison with the last one where that is enough, by parsing where not.

A request that is asked again and again gets an answer that differs in nothing but its date and
request id. So the first answer is parsed and judged, and what cannot differ in a right answer is
kept: how it begins (status line to Location), how long it is, where its head ends. An answer that
agrees in all three, and whose body is what was expected where that is known, is right; any other is
parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import httptools

from bench.load.deck import Ask
from bench.load.outcome import ErrorKind
from bench.load.plan import BadPlan, Plan

MAX_HEAD_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"


class BadAnswer(ValueError):
    """The bytes are no answer of HTTP/1.1."""


class Shot:
    """A request of this process: its bytes, and what is known of its answer.

    An answer of `length` bytes that begins with `prefix` and goes on with `tail` at `head_end` (the
    end of its head, and the expected body) is right. `length` 0: none was right so far.
    """

    __slots__ = (
        *("ask", "head_end", "length", "prefix", "request", "seen_location", "status", "tail"),
    )

    def __init__(self, ask: Ask, request: bytes) -> None:
        self.ask = ask
        self.request = request
        self.status = ask.expected.status
        self.tail = _HEAD_END + (ask.expected.body or b"")
        self.prefix = b""
        self.length = 0
        self.head_end = 0
        self.seen_location = b""

    def learn(self, data: bytes, answer: Answer) -> None:
        """`data` is one right answer and nothing else."""
        self.length = len(data)
        self.head_end = answer.head_bytes - len(_HEAD_END)
        self.prefix = data[: answer.telling_bytes]


def shots(plan: Plan, process: int, processes: int) -> Iterator[Shot]:
    """The deck's requests as bytes; asks that are one object become one shot."""
    end = "" if plan.keep_alive else "Connection: close\r\n"
    tail = (
        f" HTTP/1.1\r\nHost: {plan.target.authority}\r\nUser-Agent: parparchik-bench\r\n{end}\r\n"
    )
    known: dict[int, Shot] = {}
    repeats = plan.deck.repeats
    for ask in plan.deck.deal(process, processes):
        shot = known.get(id(ask))
        if shot is None:
            if ask.put_bytes:
                raise BadPlan("a PUT with a body takes a load of its own: a plan that is `bulk`")
            if ask.sent is not None and plan.target.http2:
                raise BadPlan("files are PUT over HTTP/1.1 only: leave out --http2")
            shot = Shot(ask, _request(ask, tail))
            if repeats:
                known[id(ask)] = shot  # which keeps the ask, and so its id
        yield shot
    raise BadPlan(
        "the scenario has no more requests: give a shorter --duration or fewer --requests"
    )


def _request(ask: Ask, tail: str) -> bytes:
    """`tail` is what follows a path; it ends the head."""
    if ask.sent is None:
        return f"GET {ask.path}{tail}".encode("ascii")
    body, headers = ask.sent.body, ask.sent.headers
    described = "".join(f"{name}: {value}\r\n" for name, value in headers)
    end = f"{described}Content-Length: {len(body)}\r\n\r\n"
    return f"PUT {ask.path}{tail[:-2]}{end}".encode("ascii") + body


class Answer(NamedTuple):
    """`length` is 0 until its end where only that tells how long it is (`chunked`). The first
    `telling_bytes` hold status and Location."""

    status: int
    location: bytes | None
    length: int
    head_bytes: int
    telling_bytes: int
    closes: bool
    chunked: bool = False


def read_head(data: bytes) -> Answer | None:
    """The head at the beginning of `data`; None: more of it is to come. Raises BadAnswer.

    Framing by RFC 9112 section 6.3, for an answer to GET; one that only the connection's end
    ends is refused, for nobody could tell a whole one from a short one.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        if len(data) > MAX_HEAD_BYTES or not b"HTTP/1.1 ".startswith(data[:9]):
            raise BadAnswer("no head")
        return None
    if not data.startswith(b"HTTP/1.1 ") or not data[9:12].isdigit():
        raise BadAnswer("no status line")
    head = data[: end + 2]
    lower = head.lower()
    status = int(data[9:12])
    location, telling = None, data.find(b"\r\n") + 2
    at = lower.find(b"\r\nlocation:")
    if at >= 0:
        telling = head.index(b"\r\n", at + 2) + 2
        location = head[at + 11 : telling - 2].strip()
    closes = False
    at = lower.find(b"\r\nconnection:")
    if at >= 0:
        closes = b"close" in lower[at + 13 : lower.index(b"\r\n", at + 2)]
    head_bytes = end + len(_HEAD_END)
    if status in (204, 304):
        return Answer(status, location, head_bytes, head_bytes, telling, closes)
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        given = lower[at + 17 : lower.index(b"\r\n", at + 2)].strip()
        if not given.isdigit():
            raise BadAnswer("no Content-Length")
        return Answer(status, location, head_bytes + int(given), head_bytes, telling, closes)
    if b"\r\ntransfer-encoding: chunked\r\n" not in lower:
        raise BadAnswer("no length")
    return Answer(status, location, 0, head_bytes, telling, closes, chunked=True)


def judge(shot: Shot, answer: Answer, body: bytes | None = None) -> ErrorKind | None:
    """What is wrong with a whole answer; None: nothing. `body` None: it was not kept."""
    if answer.status != shot.status:
        return "wrong status"
    expected = shot.ask.expected
    length = answer.length - answer.head_bytes
    if expected.body_bytes not in (None, length):
        return "wrong length"
    if body is not None and expected.body not in (None, body):
        return "wrong body"
    wanted = expected.location
    if wanted is not None:
        got = (answer.location or b"").partition(b"?")[0]
        if wanted:
            return None if got == wanted.encode() else "wrong Location"
        if not got or (shot.seen_location and got != shot.seen_location):
            return "wrong Location"
        shot.seen_location = got
    return None


class ChunkedBody:
    """Finds the end of an answer with chunks, fed with all of it, piece by piece. `size_bytes` is
    what was in them so far, and `content` is that where it `keeps` it."""

    def __init__(self, *, keeps: bool = False) -> None:
        self.complete = False
        self.size_bytes = 0
        self.content = bytearray()
        self._keeps = keeps
        self._parser = httptools.HttpResponseParser(self)

    def on_body(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        if self._keeps:
            self.content += piece

    def on_message_complete(self) -> None:
        self.complete = True

    def whole(self, answer: Answer) -> Answer:
        """The same answer, now that its length is known."""
        return answer._replace(length=answer.head_bytes + self.size_bytes)

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BadAnswer(str(error)) from error
