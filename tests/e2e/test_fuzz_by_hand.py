"""What people have smuggled requests with, brought to both planes: they take it for the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
import trio

from parparchik.edge.framing import PREFACE
from tests.e2e.hostile import Planes, both_planes
from tests.e2e.streams import TAIL
from tests.e2e.test_fuzz import agree

WEBSOCKET = (b"Upgrade: websocket", b"Connection: Upgrade")
H2C = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk")
CHUNKED = b"Transfer-Encoding: chunked"


def get(
    target: bytes = b"/a",
    *lines: bytes,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    host: bytes = b"Host: t",
) -> bytes:
    first = b"%b %b %b" % (method, target, version)
    return b"\r\n".join(line for line in (first, host, *lines) if line) + b"\r\n\r\n"


def sized(size_bytes: int, target: bytes = b"/a") -> bytes:
    return get(target, b"X: " + b"a" * (size_bytes - len(get(target, b"X: "))))


# The status of the answer and, where there is a second one, that of the request behind it.
ALIKE: dict[tuple[int, ...], tuple[bytes, ...]] = {
    (302, 302): (
        *(get(b"/%73tatus"), get(b"//status"), get(b"/status/"), get(b"/status%3Fx"), get(b"/?")),
        *(get(b"/STATUS"), get(b"/./status"), get(b"/status;x"), get(b"/status#x"), get(b"/a?b?c")),
        *(get(b"http://h"), get(b"http://h?x"), get(b"HTTPS://h:1/a"), get(b"http://h//status")),
        *(get(b"/" + b"a" * 8_191), get(b"/" + b"a" * 8_192), get(b"/" + b"a" * 15_000)),
        *(sized(16_383), sized(16_384), get(b"/a", *(b"X-%d: y" % i for i in range(1_000)))),
        *(get(b"/a", b"Content-Length: 0"), get(b"/a", b"Content-Length: 00")),
        *(get(b"/a", b"Content-Length: 1") + b"x", get(b"/a", CHUNKED) + b"1\r\nx\r\n0\r\n\r\n"),
        *(get(b"/a", *WEBSOCKET), get(b"/a", *WEBSOCKET, b"Sec-WebSocket-Version: 13")),
        get(b"/a", *WEBSOCKET, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: YQ=="),
        get(b"/a", *WEBSOCKET, b"Sec-WebSocket-Version: 13", b"Content-Length: 1") + b"x",
        *(get(b"/a", *H2C), get(b"/a", *H2C, b"Upgrade: websocket"), get(b"/a", b"Upgrade:")),
        *(get(b"/a", b'Connection: "close"'), get(b"/a", b"Proxy-Connection: close")),
        *(get(host=b"HOST:\t t \t"), get(host=b"Host: t:"), get(host=b"Host: [::]:1")),
        *(get(method=b"get"), get(b"/a", b"Expect: x"), get(b"/a", b"Connection: " + b"," * 900)),
        get(b"/a", b"Expect: 100-continue"),  # there is no body to ask for
    ),
    (200, 302): (get(b"/status?x"), get(b"http://h/status"), get(b"HTTP://h/status?/a")),
    (405, 302): (
        *(get(b"h:1", method=b"CONNECT"), get(b"*", method=b"OPTIONS"), get(method=b"G!T")),
        get(b"/a", b"Content-Length: %d" % len(TAIL), method=b"POST") + TAIL,
        get(b"/a", CHUNKED, method=b"PUT") + b"%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(TAIL), TAIL),
    ),
    (302,): (
        *(get(version=b"HTTP/1.0"), get(b"/a", b"Connection: keep-alive", version=b"HTTP/1.0")),
        *(get(version=b"HTTP/1.0", host=b""), get(b"/a", *WEBSOCKET, version=b"HTTP/1.0")),
        *(get(b"/a", b"Connection:\tx, CLOSE"), get(b"/a", b"Connection: close", b"Connection: x")),
    ),
    (400,): (
        *(get(b"/a", CHUNKED, version=b"HTTP/1.0") + b"0\r\n\r\n", get(b"http:///status")),
        *(get(b"http://u@h/a"), get(b"http://h\\status"), get(b"http://h#/status"), get(b"/\xff")),
        *(b"\r\n" + get(), get(host=b""), get(b"/a", b"Host: t"), get(b"/a", b"Host : t"), b"\x16"),
    ),
    (431,): (sized(16_385), sized(16_385, b"/status"), sized(70_000)),
    (302, 400): (
        *(get() + b"\r\n", get() + PREFACE, get() + PREFACE + b"\0" * 9, get() + b"\x16\x03\x01"),
        *(get() + b"PRI * HTTP/2.0\r\n\r\n", get() + b"\0"),
    ),
    (505,): (PREFACE,),
}
CASES = [(statuses, data) for statuses, streams in ALIKE.items() for data in streams]


@pytest.mark.parametrize("step", [100_000, 7])
async def test_the_tricks_that_are_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    cases = CASES
    if step == 7:  # in pieces, 405 may be the answer before the body has come, and then the last
        cases = [each for each in CASES if each[0] != (405, 302) and len(each[1]) < 300]
    with structlog.testing.capture_logs() as logs:
        async with both_planes(tmp_path) as planes:
            for statuses, data in cases:
                whole = data + TAIL
                pieces = [whole[i : i + step] for i in range(0, len(whole), step)]
                # The preface has a meaning of its own at a connection's beginning.
                ways = planes.ways[:1] if statuses == (505,) else planes.ways
                for seen in await planes.see([(way, pieces) for way in ways]):
                    assert [status for status, _ in seen.answers] == list(statuses), data
                    assert seen.closed == (seen.answers[-1] != (302, b"n-tail")), data
            await nothing_left(planes)
    assert [each for each in logs if each["log_level"] not in ("debug", "info")] == []
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


async def nothing_left(planes: Planes) -> None:
    with trio.fail_after(10):
        await planes.plane.drain()
    assert planes.plane.count == 0


async def test_after_a_refusal_there_is_no_other_answer(tmp_path: Path) -> None:
    data = get(b"/a", CHUNKED, method=b"POST") + TAIL
    async with both_planes(tmp_path) as planes:
        for seen in await planes.see([(way, [data]) for way in planes.ways * 20]):
            assert seen.closed
            assert [status for status, _ in seen.answers] in ([400], [405])


async def test_too_large_a_body_ends_alike(tmp_path: Path) -> None:
    body = (b"1000\r\n" + b"a" * 4_096 + b"\r\n") * 75 + b"0\r\n\r\n"
    for framing in (b"Content-Length: %d" % len(body), CHUNKED):
        data = get(b"/a", framing) + body + TAIL
        async with both_planes(tmp_path) as planes:
            edge, *others = await planes.see([(way, [data]) for way in planes.ways])
            assert edge.answers[0][0] == 413
            for other in others:
                assert agree(edge, other)
