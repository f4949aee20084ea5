"""What a client of the edge notices, on real sockets."""

from __future__ import annotations

import re
import socket

import pytest
import trio
import trio.testing

from parparchik.access import AccessLog
from parparchik.edge import Limits
from parparchik.edge.framing import PREFACE
from parparchik.metrics import Traffic
from parparchik.model import Answer
from tests.edge.conftest import Known, Running, read_all, read_until, redirect, running

SAFETY_S = 20


def get(path: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"%b %b %b" % (method, path, version), b"Host: a", *lines, b"", b""])


def locations(answers: bytes) -> list[bytes]:
    return re.findall(rb"location: http://s3(\S*)", answers)


async def test_an_answer_has_its_fields_in_order(up: Running) -> None:
    answer = await up.talk(get(b"/b/k"))
    assert re.fullmatch(
        rb"HTTP/1\.1 302 Found\r\nlocation: http://s3/b/k\r\ncache-control: no-store\r\n"
        rb"content-length: 0\r\nx-request-id: [0-9a-f]{32}\r\ndate: [^\r]+ GMT\r\n\r\n",
        answer,
    )
    assert up.traffic.requests() == (("public", 302, 1),)


async def test_a_connection_is_kept_and_hot_requests_are_answered_anew(up: Running) -> None:
    ids = set()
    async with await up.connect() as stream:
        for _ in range(5):
            await stream.send_all(get(b"/b/k"))
            answer = await read_until(stream, b"\r\n\r\n")
            ids.add(re.findall(rb"x-request-id: (\w+)", answer)[0])
        up.routes.questions[b"/b/k"].known = Answer(404, (), b"gone", "public")
        await stream.send_all(get(b"/b/k"))
        assert (await read_until(stream, b"gone")).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert len(ids) == 5
    assert len(up.routes.asked) == 2  # then it is remembered
    assert up.edge.statistics().memoised == 1
    assert up.traffic.requests() == (("public", 302, 5), ("public", 404, 1))


async def test_pipelined_requests_are_answered_in_order_however_they_are_split(up: Running) -> None:
    data = b"".join(get(b"/b/%d" % i) for i in range(3))
    for cut in range(0, len(data), 7):
        answers = await up.talk(data[:cut], data[cut:])
        assert locations(answers) == [b"/b/0", b"/b/1", b"/b/2"]


async def test_misses_keep_their_place_and_hold_nothing_back_before_them(up: Running) -> None:
    slow = up.routes.questions[b"/slow"] = Known(None)
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as stream:
            await stream.send_all(get(b"/a") + get(b"/slow") + get(b"/b"))
            assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/a"]
            slow.tell(redirect(b"/slow"))
            await stream.send_eof()
            assert locations(await read_all(stream)) == [b"/slow", b"/b"]


async def test_a_client_that_leaves_while_it_waits_harms_nobody(up: Running) -> None:
    slow = up.routes.questions[b"/slow"] = Known(None)
    async with await up.connect() as stream:
        await stream.send_all(get(b"/slow") + b"more")
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert locations(await up.talk(get(b"/a"))) == [b"/a"]
    slow.tell(redirect(b"/slow"))
    assert locations(await up.talk(get(b"/slow"))) == [b"/slow"]
    assert up.edge.count == 0


async def test_head_has_a_length_and_no_body(up: Running) -> None:
    up.routes.questions[b"/none"] = Known(Answer(404, (), b"not found"))
    for _ in range(3):
        answer = await up.talk(get(b"/none", method=b"HEAD") + get(b"/a"))
        first, _, second = answer.partition(b"\r\n\r\n")
        assert b"content-length: 9" in first
        assert locations(second) == [b"/a"]


@pytest.mark.parametrize(
    "request_bytes", [get(b"/a", version=b"HTTP/1.0"), get(b"/a", b"Connection: close")]
)
async def test_the_last_answer_says_so_and_ends_the_connection(
    up: Running, request_bytes: bytes
) -> None:
    async with await up.connect() as stream:
        await stream.send_all(request_bytes + get(b"/b"))
        answer = await read_all(stream)
    assert locations(answer) == [b"/a"]
    assert answer.endswith(b" GMT\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (b"http://elsewhere/b/k?q", b"/b/k?q"),
        (b"HTTPS://elsewhere", b"/"),
        (b"/b/k?", b"/b/k"),
        (b"//b/../%2e", b"//b/../%2e"),
    ],
)
async def test_targets_are_asked_in_origin_form(up: Running, target: bytes, origin: bytes) -> None:
    await up.talk(get(target, b"X-API-Key: secret"))
    assert [(asked.target, asked.api_key) for asked in up.routes.asked] == [(origin, b"secret")]


async def test_a_request_id_of_the_client_is_kept_and_no_secret_remembered(up: Running) -> None:
    for line in (b"X-Request-Id: mine-%d", b"Authorization: Bearer %d", b"X-API-Key: %d"):
        for _ in range(3):
            answer = await up.talk(get(b"/a", line % 7))
            assert (b"x-request-id: mine-7\r\n" in answer) is (b"Id" in line)
    assert b"x-request-id: \xff" not in await up.talk(get(b"/a", b"X-Request-Id: \xff"))
    assert up.edge.statistics().memoised == 0


HANDED_OVER = {
    "upload": get(b"/a", b"Content-Length: 5", method=b"PUT") + b"hello" + get(b"/b"),
    "management": get(b"/status?x") + get(b"/b"),
    "body": get(b"/a", b"Content-Length: 1") + b"x",
    "upgrade": get(b"/a", b"Upgrade: websocket", b"Connection: Upgrade"),
    "expect": get(b"/a", b"Expect: 100-continue"),
    "large target": get(b"/" + b"a" * 8_192),
    "large head": get(b"/a", b"X: " + b"a" * 20_000),
    "http/2": PREFACE + b"\0\0\0",
    "tls": b"\x16\x03\x01\x02\x00",
}


@pytest.mark.parametrize("name", HANDED_OVER)
async def test_all_else_is_handed_over_with_every_byte_at_every_split(
    up: Running, name: str
) -> None:
    data = HANDED_OVER[name]
    # Another protocol begins where a connection does, if at all.
    before = b"" if name in ("http/2", "tls") else get(b"/first")
    for cut in range(0, len(data), max(1, len(data) // 12)):
        answer = await up.talk(before + data[:cut], data[cut:])
        assert locations(answer) == [b"/first"][: len(before)]
        assert answer.endswith(b"handed over")
        assert up.other.got.pop() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (get(b"/a", b"Content-Length: 1", b"Content-Length: 2"), b"repeated Content-Length"),
        (b"GET / HTTP/1.1\r\n\r\n", b"missing Host"),
        (b"GET / HTTP/1.1\nHost: a", b"bare CR or LF"),
        (b"\0", b"control character"),
    ],
)
async def test_unsound_requests_get_an_answer_and_no_reset(
    up: Running, data: bytes, reason: bytes
) -> None:
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as stream:
            await stream.send_all(get(b"/a") + data + b"x" * 50_000)
            answer = await read_all(stream)
            await stream.send_eof()
    assert locations(answer) == [b"/a"]
    assert b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n" in answer
    assert answer.endswith(b'connection: close\r\n\r\n{"error":"%b"}' % reason)
    assert up.edge.statistics().refused == ((reason.decode(), 1),)


async def test_a_crashing_question_is_answered_500(
    up: Running, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    up.routes.questions[b"/bad"] = Known(None, crash=RuntimeError("boom"))
    later = up.routes.questions[b"/later"] = Known(None)
    for _ in range(3):
        answer = await up.talk(get(b"/bad") + get(b"/a"))
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b'{"error":"internal server error"}' in answer
        assert locations(answer) == [b"/a"]
    async with await up.connect() as stream:
        await stream.send_all(get(b"/later"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        later.crash = RuntimeError("boom")
        later.told.set()
        assert b" 500 " in await read_until(stream, b"}")


async def test_a_client_that_never_reads_costs_a_bounded_buffer(up: Running) -> None:
    up.routes.questions[b"/big"] = Known(Answer(200, (), b"x" * 50_000))
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as stream:
            with trio.move_on_after(1):
                while True:
                    await stream.send_all(get(b"/big") * 50)
            answered = up.traffic.requests()[0][2]
            assert answered < 1_000  # what the kernel's buffers hold, and one write
            assert locations(await up.talk(get(b"/a"))) == [b"/a"]


async def test_at_the_limit_others_wait_until_one_leaves() -> None:
    async with running(Limits(max_connections=2)) as up:
        with trio.fail_after(SAFETY_S):
            one, two, three = [await up.connect() for _ in range(3)]
            await three.send_all(get(b"/c"))
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert up.edge.count == 2
            await one.aclose()
            assert locations(await read_until(three, b"\r\n\r\n")) == [b"/c"]
            assert up.edge.statistics().accept_pauses >= 1
            await two.aclose()
            await three.aclose()


async def test_slow_heads_and_idle_connections_end() -> None:
    async with running(Limits(header_timeout_s=1, idle_timeout_s=2)) as up:
        with trio.fail_after(SAFETY_S):
            async with await up.connect() as slow, await up.connect() as idle:
                await slow.send_all(b"GET / HT")
                assert b" 408 Request Timeout\r\n" in await read_all(slow)
                assert await read_all(idle) == b""
        assert up.edge.statistics().timed_out == (("header", 1), ("idle", 1))


async def test_drain_ends_each_connection_after_its_answer() -> None:
    async with running() as up, trio.open_nursery() as nursery:
        slow = up.routes.questions[b"/slow"] = Known(None)
        with trio.fail_after(SAFETY_S):
            async with await up.connect() as waiting, await up.connect() as idle:
                await waiting.send_all(get(b"/slow") + get(b"/a"))
                await idle.send_all(get(b"/a"))
                await read_until(idle, b"\r\n\r\n")
                # Connected while the edge does not run: it waits in the accept queue.
                queued = socket.create_connection(up.listener.getsockname())
                up.edge.stop_accepting()
                drained = trio.Event()

                async def drain() -> None:
                    await up.edge.drain()
                    drained.set()

                nursery.start_soon(drain)
                await trio.testing.wait_all_tasks_blocked()
                queued.setblocking(False)
                async with trio.SocketStream(trio.socket.from_stdlib_socket(queued)) as late:
                    await late.send_all(get(b"/late"))
                    last = await read_all(late)
                assert locations(last) == [b"/late"]
                assert b"connection: close" in last
                assert await read_all(idle) == b""
                assert not drained.is_set()
                slow.tell(redirect(b"/slow"))
                answers = await read_all(waiting)
                assert locations(answers) == [b"/slow"]
                assert b"connection: close" in answers
            await drained.wait()


async def test_a_renewed_edge_asks_anew(up: Running) -> None:
    request = get(b"/a")
    for _ in range(3):
        await up.talk(request)
    assert len(up.routes.asked) == 2
    up.edge.renew(ask=lambda _: Known(Answer(204)), access=AccessLog(Traffic()))
    assert (await up.talk(request)).startswith(b"HTTP/1.1 204 ")
