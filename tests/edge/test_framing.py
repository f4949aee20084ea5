"""Framing: what is refused and why, and that no second opinion ever differs on what is not."""

from __future__ import annotations

from contextlib import suppress

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parparchik.edge.framing import PREFACE, Judge, Refusal, Verdict

GET = b"GET /photos/a.jpg HTTP/1.1\r\nHost: files.example\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b'4;a=b;c;d="e f"\r\nwiki\r\nA\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n'
)
SOUND = {
    "get": GET,
    "http/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "absolute form": b"GET http://a:80/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "ipv6 host": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "empty field": b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\n\r\n",
    "obs-text": b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\n\r\n",
    "body": POST,
    "no body": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "chunked": CHUNKED,
    "chunked, no trailer": CHUNKED.replace(b"Trailer: yes\r\n", b""),
    "pipelined": GET + POST + CHUNKED + GET,
}


def head(*lines: bytes, first: bytes = b"POST / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join(line for line in (first, host, *lines) if line) + b"\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked") + body


UNSOUND = {
    "repeated Content-Length": [
        head(b"Content-Length: 1", b"Content-Length: 2"),
        head(b"Content-Length: 1", b"Content-Length: 1"),
    ],
    "bad Content-Length": [
        head(b"Content-Length: " + value)
        for value in (b"", b"+1", b"-1", b"1, 1", b"1,2", b"0x1", b"1 1", b"\xb2", b"9" * 19)
    ],
    "Transfer-Encoding with Content-Length": [
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ],
    "bad Transfer-Encoding": [
        head(b"Transfer-Encoding: " + value)
        for value in (b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"identity")
    ],
    "repeated Transfer-Encoding": [
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")
    ],
    "Transfer-Encoding in HTTP/1.0": [
        head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0")
    ],
    "obs-fold": [head(b"X: a", b" b"), head(b"\tX: a"), head(b" Host: b")],
    "control character": [
        head(b"X: a\0b"),
        head(b"X\0: a"),
        head(b"X: \x7f"),
        head(b"X: \x0b"),
        head(b"X: \x01"),
        head(first=b"GET /\0 HTTP/1.1"),
    ],
    "bare CR or LF": [
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        head(b"X: a\rb"),
        head(b"X: a\nY: b"),
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    ],
    "space before the colon": [head(b"X : a"), head(b"Content-Length\t: 1")],
    "bad header field": [
        head(b"X"),
        head(b": a"),
        head(b"X\xe9: a"),
        head(b"X(: a"),
        head(b"X Y: a"),
    ],
    "missing Host": [head(host=b"")],
    "repeated Host": [
        head(b"Host: a"),
        head(b"hOST: b"),
        head(b"Host: a", first=b"GET / HTTP/1.0"),
    ],
    "bad Host": [
        head(host=b"Host: " + value)
        for value in (b"", b"a b", b"a/b", b"u@a", b"a,b", b"[::1", b"a:b", b"a:123456", b"\xe9")
    ],
    "bad request line": [
        head(first=line)
        for line in (
            *(b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / x HTTP/1.1"),
            *(b"G\xe9T / HTTP/1.1", b"GET /\xe9 HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/11"),
            *(b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / HTTP/1.01"),
        )
    ],
    "bad HTTP version": [head(first=b"GET / HTTP/" + v) for v in (b"0.9", b"1.2", b"2.0", b"9.9")],
    "bad request target": [
        head(first=b"%b HTTP/1.1" % line)
        for line in (b"GET x", b"GET *", b"GET a:80", b"GET ftp://a/", b"GET http://", b"CONNECT /")
    ]
    + [
        head(first=b"GET http://%b HTTP/1.1" % rest)
        for rest in (b"/a", b"u@a/", b"a#/b", b"a\\b", b'a"/', b"[::/", b"a:b/", b"?a")
    ],
    "no request line": [b"\r\n" + GET, GET + b"\r\n", b"\n"],
    "bad chunking": [
        chunked(body)
        for body in (
            *(b"\r\n", b"g\r\n", b"0x1\r\na", b"-1\r\n", b"+1\r\n", b" 1\r\n", b"1 \r\n", b"1\n"),
            *(b"1\r\nab\r\n", b"1\r\na\n", b"1;\r\n", b"1; a\r\n", b"1;a=\r\n", b'1;a="\r\n'),
            *(b"1" * 16 + b"\r\n", b"1;" + b"a" * 2_000, b"1\r\na\rx"),
        )
    ],
    "framing in a trailer": [
        chunked(b"0\r\n%b: 1\r\n\r\n" % name)
        for name in (b"Content-Length", b"Transfer-Encoding", b"Host")
    ],
}


def judge(pieces: list[bytes]) -> tuple[bytes, Refusal | None]:
    judging = Judge()
    sound = b""
    verdict = Verdict(b"", None)
    for piece in pieces:
        verdict = judging.feed(piece)
        sound += verdict.sound
    return sound, verdict.refusal


def one_byte_each(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("name", SOUND)
def test_sound_bytes_pass_unchanged_however_they_are_split(name: str) -> None:
    data = SOUND[name]
    splits = [[data], one_byte_each(data), *([data[:i], data[i:]] for i in range(1, len(data)))]
    for pieces in splits:
        assert judge(pieces) == (data, None)


@pytest.mark.parametrize(
    ("reason", "data"), [(reason, data) for reason, cases in UNSOUND.items() for data in cases]
)
def test_what_is_unsound_is_refused_by_name_however_it_is_split(reason: str, data: bytes) -> None:
    for before in (b"", GET, POST):
        _, refusal = judge([before + data])
        assert refusal == Refusal(400, reason)
        sound, refusal = judge([before, *one_byte_each(data)])
        assert refusal is not None
        assert refusal.status == 400
        assert len(sound) < len(before + data)


def test_nothing_of_an_unsound_head_passes() -> None:
    assert judge([GET + head(b"X: \0") + GET]) == (GET, Refusal(400, "control character"))
    judging = Judge()
    assert judging.feed(b"GET / HTTP/1.1\r\nHost: a\nX") == (b"", Refusal(400, "bare CR or LF"))
    assert judging.feed(GET) == (b"", Refusal(400, "bare CR or LF"))


def test_a_head_is_held_until_it_is_whole_and_a_body_flows() -> None:
    judging = Judge()
    assert judging.feed(POST[:40]).sound == b""
    assert not judging.between_requests
    assert judging.feed(POST[40:-3]).sound == POST[:-3]
    assert judging.feed(POST[-3:]).sound == b"llo"
    assert judging.between_requests


def test_a_head_has_a_largest_size() -> None:
    room = 16_384 - len(head(b"X: "))
    assert judge([head(b"X: " + b"a" * room)])[1] is None
    assert judge([head(b"X: " + b"a" * (room + 1))])[1] == Refusal(
        431, "request header fields too large"
    )
    sound, refusal = judge([GET[:-2] + b"X: ", *[b"a" * 1_000] * 20])
    assert (sound, refusal and refusal.status) == (b"", 431)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_what_follows_the_last_request_is_swallowed(version: bytes) -> None:
    last = b"GET / %b\r\nHost: a\r\nConnection: x, Close\r\n\r\n" % version
    assert judge([last + GET, b"\0"]) == (last, None)


def test_http_2_passes_unjudged_where_it_may_begin() -> None:
    assert judge([*one_byte_each(PREFACE), b"\0\0"]) == (PREFACE + b"\0\0", None)
    upgrade = head(b"Upgrade: h2c", b"Connection: Upgrade", first=b"GET / HTTP/1.1")
    assert judge([upgrade, PREFACE + b"\0"]) == (upgrade + PREFACE + b"\0", None)
    assert judge([GET, PREFACE]) == (GET, Refusal(400, "bad HTTP version"))


def test_after_a_switch_of_protocols_everything_passes() -> None:
    judging = Judge()
    judging.feed(GET)
    judging.step_aside()
    assert judging.feed(b"\x81\0") == (b"\x81\0", None)


Seen = list[tuple[bytes, bytes, bytes]]


def as_h11_reads(data: bytes) -> Seen:
    """(method, target, body) of each whole request, as h11 divides them. Raises where it would
    refuse."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    seen: Seen = []
    method = target = body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            method, target, body = event.method, event.target, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            seen.append((method, target, body))
            connection.send(h11.Response(status_code=405, headers=[(b"content-length", b"0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return seen
            connection.start_next_cycle()
        else:
            return seen


class Llhttp:
    def __init__(self) -> None:
        self.seen: Seen = []
        self.ended = 0
        self.target = self.body = b""
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.target = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.seen.append((self.parser.get_method(), self.target, self.body))


def as_llhttp_reads(data: bytes) -> Seen:
    """The same by llhttp, up to a method that it has never heard of."""
    reader = Llhttp()
    with suppress(httptools.HttpParserInvalidMethodError):
        reader.parser.feed_data(data)
    return reader.seen


LINES = st.sampled_from(
    [
        *(
            b"Content-Length: 3",
            b"Content-Length: 0",
            b"Content-Length: 03",
            b"Content-Length: 3,3",
        ),
        *(b"Content-Length : 3", b"content-length:3\t", b"Content-Length: 3\n", b" folded", b"\tx"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked ", b"X: \x80", b"X:\x0b"),
        *(b"Transfer-Encoding:\tCHUNKED", b"Transfer-Encoding: chunked;q=1", b"Host: b", b"X: a\r"),
        *(b"Transfer-Encoding: \x0cchunked", b"Connection: keep-alive", b"Connection: close", b":"),
        *(b"Content-Length: \xc2\xa03", b"X", b"\0: a", b"X: a\0", b"Expect: 100-continue"),
    ]
)
FIRSTS = st.sampled_from(
    [b"POST / HTTP/1.1"] * 4
    + [b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"PUT http://a/b HTTP/1.1", b"HEAD /?# HTTP/1.1"]
    + [b"GET /%zz HTTP/1.1", b"DELETE //a HTTP/1.1", b"GET /  HTTP/1.1", b"GET http:/a HTTP/1.1"]
)
BODIES = st.sampled_from(
    [
        *(b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n00\r\n\r\n", b"0\r\nA: b\r\n\r\n"),
        *(b"3 \r\nabc\r\n0\r\n\r\n", b"3;x\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"0\r\n\r\n"),
        *(b'3;x="\r\n"\r\nabc\r\n0\r\n\r\n', b"3\r\nabcd\r\n0\r\n\r\n", b"0\r\nA : b\r\n\r\n"),
    ]
)
REQUESTS = st.builds(
    lambda first, lines, body: head(*lines, first=first) + body,
    FIRSTS,
    st.lists(LINES, max_size=3),
    BODIES,
)
STREAMS = st.lists(REQUESTS | st.sampled_from(sorted(SOUND.values())), max_size=4).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A stream of requests of which a few bytes have been changed."""
    data = bytearray(draw(STREAMS))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            place = draw(st.integers(0, len(data) - 1))
            data[place : place + draw(st.integers(0, 1))] = draw(
                st.sampled_from(
                    [b"", b"\r", b"\n", b"\0", b" ", b":", b"\t", b"0", b"\r\n", b"\xff"]
                )
            )
    return bytes(data)


@given(mutated())
@example(GET + CHUNKED + POST)
@settings(max_examples=1_500, deadline=None)
def test_what_passes_is_read_alike_by_everybody(data: bytes) -> None:
    sound, _ = judge([data])
    by_h11, by_llhttp = as_h11_reads(sound), as_llhttp_reads(sound)
    assert by_llhttp == by_h11[: len(by_llhttp)]
    known = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"}
    if all(method in known for method, _, _ in by_h11):
        assert by_llhttp == by_h11


@given(mutated(), st.data())
@settings(max_examples=500, deadline=None)
def test_a_split_changes_no_verdict(data: bytes, cuts: st.DataObject) -> None:
    places = sorted(cuts.draw(st.lists(st.integers(0, len(data)), max_size=4)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    sound, refusal = judge(pieces)
    at_once, refused = judge([data])
    assert sound == at_once
    assert (refusal is None) == (refused is None)
