"""The response parser: framing, interim answers, limits, and what makes a connection useless."""

from __future__ import annotations

import gc

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.s3.response import MAX_HEAD_BYTES, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"

# name: bytes, answer to HEAD?, status, body, reusable
COMPLETE = {
    "content-length": (OK + b"Content-Length: 5\r\n\r\nhello", False, 200, b"hello", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", False, 200, b"", True),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
        False, 200, b"hello", True,
    ),
    "trailers": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nStatus: 500\r\n\r\n",
        False, 200, b"x", True,
    ),
    "head": (OK + b"Content-Length: 5\r\n\r\n", True, 200, b"", True),
    "head of chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n", True, 200, b"", True),
    "head without framing": (b"HTTP/1.1 404 Not Found\r\n\r\n", True, 404, b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", False, 304, b"", True),
    "100 first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        + OK + b"Content-Length: 1\r\n\r\nx",
        False, 200, b"x", True,
    ),
    "close": (OK + b"Connection: x, Close\r\nContent-Length: 1\r\n\r\nx", False, 200, b"x", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", False, 200, b"x", False),
    "1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
        False, 200, b"x", True,
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", False, 200, b"x", True),
}  # fmt: skip


def parse(pieces: list[bytes], *, to_head: bool = False) -> tuple[ResponseParser, bytes]:
    parser = ResponseParser(to_head=to_head)
    body = b""
    for piece in pieces:
        parser.feed(piece)
        body += b"".join(parser.take_body())
    return parser, body


def one_byte_at_a_time(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("name", COMPLETE)
def test_whole_and_one_byte_at_a_time(name: str) -> None:
    data, to_head, status, expected, reusable = COMPLETE[name]
    for pieces in ([data], one_byte_at_a_time(data)):
        parser, body = parse(pieces, to_head=to_head)
        assert parser.complete
        assert (parser.status, body, parser.reusable) == (status, expected, reusable)


@pytest.mark.parametrize("name", COMPLETE)
def test_not_complete_before_the_last_byte(name: str) -> None:
    data, to_head, *_ = COMPLETE[name]
    parser, _ = parse([data[:-1]], to_head=to_head)
    assert not parser.complete
    with pytest.raises(httpx.RemoteProtocolError):
        parser.feed_eof()


@given(data=st.data(), name=st.sampled_from(sorted(COMPLETE)))
def test_any_division_gives_the_same(data: st.DataObject, name: str) -> None:
    raw, to_head, status, expected, reusable = COMPLETE[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1))))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    parser, body = parse(pieces, to_head=to_head)
    assert (parser.status, body, parser.reusable) == (status, expected, reusable)


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    fields=st.lists(
        st.tuples(
            st.from_regex(rb"x-[a-z0-9-]{1,20}", fullmatch=True),
            st.from_regex(rb"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True),
        ),
        max_size=8,
    ),
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    chunked=st.booleans(),
)
def test_what_h11_writes_is_read(
    status: int, fields: list[tuple[bytes, bytes]], chunks: list[bytes], chunked: bool
) -> None:
    body = b"".join(chunks)
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while server.next_event() is not h11.PAUSED and server.their_state is not h11.DONE:
        pass
    framing = (
        (b"transfer-encoding", b"chunked")
        if chunked
        else (b"content-length", str(len(body)).encode())
    )
    head = h11.Response(status_code=status, headers=[*fields, framing], reason=b"Some Words")
    raw = [server.send(head), *(server.send(h11.Data(data=chunk)) for chunk in chunks)]
    raw.append(server.send(h11.EndOfMessage()))
    parser, got = parse([piece for piece in raw if piece])
    assert parser.reusable
    assert (parser.status, parser.reason, got) == (status, b"Some Words", body)
    assert parser.headers == [*fields, framing]


def test_header_names_are_lower_case_and_kept_apart() -> None:
    parser, _ = parse([OK + b"X-A: 1\r\nx-a:  2 \r\nEmpty:\r\nContent-Length: 0\r\n\r\n"])
    assert parser.headers == [
        (b"x-a", b"1"), (b"x-a", b"2"), (b"empty", b""), (b"content-length", b"0"),
    ]  # fmt: skip


def test_headers_of_interim_answers_and_trailers_are_dropped() -> None:
    for name in ("100 first", "trailers"):
        data, *_ = COMPLETE[name]
        parser, _ = parse([data])
        assert not {b"link", b"status"} & {header for header, _ in parser.headers}


def test_body_that_ends_with_the_connection() -> None:
    parser, body = parse([OK + b"\r\nhel", b"lo"])
    assert body == b"hello"
    assert not parser.complete
    parser.feed_eof()
    assert parser.complete
    assert not parser.reusable


@pytest.mark.parametrize(
    "excess",
    [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nbad", b"\x00", b"0\r\n\r\n"],
)
@pytest.mark.parametrize("name", ["content-length", "chunked", "empty", "head", "204", "304"])
@pytest.mark.parametrize("together", [True, False])
def test_bytes_beyond_the_end_make_the_connection_useless(
    excess: bytes, name: str, together: bool
) -> None:
    data, to_head, status, expected, _ = COMPLETE[name]
    parser, body = parse([data + excess] if together else [data, excess], to_head=to_head)
    assert parser.complete
    assert not parser.reusable
    assert (parser.status, body) == (status, expected)
    assert (b"x", b"y") not in parser.headers


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    for pieces in ([data], one_byte_at_a_time(data)):
        with pytest.raises(httpx.RemoteProtocolError):
            parse(pieces)


def test_head_has_a_limit() -> None:
    line = b"X-Filler: " + b"x" * 1000 + b"\r\n"
    few, many = 60, 70
    parser, _ = parse([OK + line * few + b"Content-Length: 0\r\n\r\n"])
    assert parser.complete
    for end in (b"", b"Content-Length: 0\r\n\r\n"):
        with pytest.raises(httpx.RemoteProtocolError, match="larger"):
            parse([OK, *[line] * many, end])


def test_interim_answers_share_that_limit() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    with pytest.raises(httpx.RemoteProtocolError, match="larger"):
        parse([interim] * (MAX_HEAD_BYTES // len(interim) + 1))


@pytest.mark.parametrize("data", [b"", b"HTT", OK + b"Content-Le"])
def test_an_end_before_the_head_is_complete_is_an_error(data: bytes) -> None:
    parser, _ = parse([data] if data else [])
    assert parser.started is bool(data)
    with pytest.raises(httpx.RemoteProtocolError):
        parser.feed_eof()


def test_leaves_nothing_to_the_garbage_collector() -> None:
    data, *_ = COMPLETE["head"]
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            parse([data], to_head=True)
        assert gc.collect() < 100
    finally:
        gc.enable()
