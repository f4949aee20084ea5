"""The guard around Hypercorn's per-connection server: one client harms only itself."""

from __future__ import annotations

import socket
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.access import AccessLog, JSONLines
from parparchik.config.model import ServerConfig
from parparchik.metrics import Traffic
from parparchik.server.stream import LINGER_S
from tests.server.web_plane import GET, Start, hello, respond, until, when

if TYPE_CHECKING:
    from tests.server.conftest import Logged

STALL_TIMEOUT_S = ServerConfig().write_timeout_s


async def test_a_connection_is_over_when_its_client_has_closed_it(start: Start) -> None:
    server = await start(hello)
    stream = await server.connect()
    for _ in range(2):
        await stream.send_all(GET)
        assert b"hello" in await until(stream, b"hello")
    await wait_all_tasks_blocked()
    assert server.connections.count == 1
    await stream.aclose()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_a_half_closed_connection_still_gets_its_answer(start: Start) -> None:
    answer = trio.Event()
    server = await start(when(answer))
    stream = await server.connect()
    await stream.send_all(GET)
    await stream.send_eof()
    await wait_all_tasks_blocked()
    answer.set()
    assert b"hello" in await until(stream, b"hello")
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_an_app_that_crashes_is_a_500_and_logged(start: Start, logged: Logged) -> None:
    async def crash(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    stream = await (await start(crash)).connect()
    await stream.send_all(GET)
    assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
    assert "ValueError: broken" in logged.getvalue()


async def test_a_client_that_stops_reading_is_given_up(
    start: Start, autojump_clock: MockClock
) -> None:
    async def much(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, bytes(50_000_000))

    server = await start(much)
    stream = await server.connect()
    await stream.send_all(GET)
    await trio.sleep(STALL_TIMEOUT_S - 1)
    assert server.connections.count == 1
    await trio.sleep(LINGER_S + 2)
    assert server.connections.count == 0


async def test_the_answer_survives_a_request_that_is_not_read_to_its_end(start: Start) -> None:
    server = await start(hello)
    stream = await server.connect()
    size = 2_000_000
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
    assert b"hello" in await until(stream, b"hello")
    await stream.send_all(bytes(size))  # not reset meanwhile
    await stream.aclose()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_lingering_ends(start: Start, autojump_clock: MockClock) -> None:
    server = await start(hello)
    stream = await server.connect()
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert b"hello" in await until(stream, b"nothing after the end")
    await trio.sleep(LINGER_S + 1)
    assert server.connections.count == 0


async def test_idle_connections_are_closed_when_draining(start: Start) -> None:
    server = await start(hello)
    idle, used = await server.connect(), await server.connect()
    await used.send_all(GET)
    await until(used, b"hello")
    with trio.fail_after(5):
        await server.connections.drain()
    assert await idle.receive_some() == b""
    assert await used.receive_some() == b""


async def test_abort_ends_even_a_write_that_nobody_reads(start: Start) -> None:
    async def much(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, bytes(50_000_000))

    server = await start(much)
    await (await server.connect()).send_all(GET)
    await wait_all_tasks_blocked()
    server.connections.abort()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_the_answer_under_way_says_that_it_is_the_last(
    start: Start, nursery: trio.Nursery
) -> None:
    answer = trio.Event()
    server = await start(when(answer))
    stream = await server.connect()
    await stream.send_all(GET)
    await wait_all_tasks_blocked()
    nursery.start_soon(server.connections.drain)
    await wait_all_tasks_blocked()
    answer.set()
    received = await until(stream, b"nothing more")
    assert b"\r\nconnection: close\r\n" in received
    assert received.endswith(b"hello")


async def test_bytes_that_another_has_read_come_first(start: Start, nursery: trio.Nursery) -> None:
    server = await start(hello)
    for cut in (1, len(GET) - 1, len(GET)):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        theirs.setblocking(False)
        ours.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        nursery.start_soon(server.connections.hand_over, theirs, GET[:cut])
        await stream.send_all(GET[cut:] + GET)
        received = await until(stream, b"hello")
        while received.count(b"hello") < 2:
            received += await stream.receive_some()
        await stream.aclose()


UNSOUND = b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"


@pytest.mark.parametrize("step", [1, 10_000])
async def test_the_unsound_is_refused_after_the_answers_to_what_was_sound(
    start: Start, step: int
) -> None:
    server = await start(hello)
    stream = await server.connect()
    data = GET + GET + UNSOUND
    with trio.fail_after(10):
        for i in range(0, len(data), step):
            await stream.send_all(data[i : i + step])
        received = await until(stream, b"nothing more")
    assert received.count(b"hello") == 2
    head, _, body = received.rpartition(b"\r\n\r\n")
    refusal = head[head.rindex(b"HTTP/1.1 ") :].lower()
    assert refusal.startswith(b"http/1.1 400 ")
    assert b"\r\nconnection: close" in refusal
    assert b"\r\nx-request-id: " in refusal
    assert b"\r\ndate: " in refusal
    assert b"\r\ncontent-length: %d" % len(body) in refusal
    assert b"Content-Length" in body
    assert server.connections.house.refused == {"repeated Content-Length": 1}


async def test_what_comes_while_an_answer_ends_is_refused_once_and_whole(start: Start) -> None:
    """Whoever finds that it is the refusal's turn: the task that reads, or the one that answers."""
    server = await start(hello)
    for steps in range(100):
        stream = await server.connect()
        await stream.send_all(GET)
        for _ in range(steps):
            await trio.lowlevel.cancel_shielded_checkpoint()
        await stream.send_all(UNSOUND)
        received = await until(stream, b"nothing more")
        assert received.count(b"HTTP/1.1 ") == 2
        assert b"HTTP/1.1 400 " in received
        await stream.aclose()
    assert server.connections.house.refused == {"repeated Content-Length": 100}


async def test_a_body_that_turns_out_unsound_is_refused_at_once(start: Start) -> None:
    async def read_all(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            if not message["more_body"]:
                await respond(send, b"hello")

    server = await start(read_all)
    stream = await server.connect()
    head = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with trio.fail_after(10):
        await stream.send_all(head + b"2\r\nab\r\n")
        await wait_all_tasks_blocked()
        await stream.send_all(b"2 \r\nab\r\n")
        received = await until(stream, b"nothing more")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"hello" not in received


@pytest.mark.parametrize(
    "before", [b"", GET, GET.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\n\r\n")]
)
async def test_http2_on_plain_connections_only_where_it_is_wanted(
    start: Start, before: bytes
) -> None:
    server = await start(hello, h2c=False)
    stream = await server.connect()
    with trio.fail_after(10):
        await stream.send_all(before + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + GET)
        received = await until(stream, b"nothing more")
    assert received.count(b"hello") == (1 if before else 0)
    assert b" 101 " not in received
    last = received[received.rindex(b"HTTP/1.1") :]
    assert last.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 "))


async def test_a_head_that_drips_is_given_up(start: Start, autojump_clock: MockClock) -> None:
    server = await start(hello, header_timeout_s=5.0, idle_timeout_s=60.0)
    stream = await server.connect()
    await stream.send_all(GET)
    await until(stream, b"hello")
    began = trio.current_time()
    received = b""
    async with trio.open_nursery() as dripping:

        async def drip() -> None:
            for i in range(len(GET) - 1):
                await stream.send_all(GET[i : i + 1])
                await trio.sleep(1)

        dripping.start_soon(drip)
        received = await until(stream, b"nothing more")
        dripping.cancel_scope.cancel()
    assert trio.current_time() - began < 5 + LINGER_S + 1
    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert server.connections.house.timed_out == {"header": 1}
    assert server.connections.house.refused == {"request timeout": 1}


async def test_who_asks_for_nothing_is_not_kept(start: Start, autojump_clock: MockClock) -> None:
    server = await start(hello, idle_timeout_s=30.0)
    used, unused, h2 = await server.connect(), await server.connect(), await server.connect_h2()
    await used.send_all(GET)
    await until(used, b"hello")
    await trio.sleep(29)
    assert server.connections.count == 3
    await h2.stream.send_all(bytes((0, 0, 8, 6, 0, 0, 0, 0, 0)) + bytes(8))  # a PING asks nothing
    await trio.sleep(2)
    assert server.connections.count == 0
    assert server.connections.house.timed_out == {"idle": 3}
    for stream in (used, unused):
        assert await until(stream, b"nothing more") == b""
    await h2.until_closed()
    assert h2.goodbye == 0


async def test_a_head_that_is_on_its_way_is_waited_for_when_it_drains(
    start: Start, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    server = await start(hello, header_timeout_s=9.0)
    on_its_way, silent = await server.connect(), await server.connect()
    for stream in (on_its_way, silent):
        await stream.send_all(GET[:9])
    await wait_all_tasks_blocked()
    nursery.start_soon(server.connections.drain)
    await trio.sleep(5)
    await on_its_way.send_all(GET[9:])
    received = await until(on_its_way, b"nothing more")
    assert b"\r\nconnection: close\r\n" in received
    assert received.endswith(b"hello")
    assert (await until(silent, b"nothing more")).startswith(b"HTTP/1.1 408 ")


async def test_every_refusal_is_counted_and_logged_as_the_edge_does(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await start(hello)
    traffic = Traffic()
    server.connections.house.access = AccessLog(traffic, JSONLines(sys.stderr, str))
    large = GET.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n" % (b"y" * 17_000))
    for request in (UNSOUND, large):
        stream = await server.connect()
        await stream.send_all(request)
        await until(stream, b"nothing more")
    client = await server.connect_h2()
    await client.ask(((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/ x")))
    assert traffic.requests() == (("invalid", 400, 2), ("invalid", 431, 1))
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["status"] for line in lines] == [400, 431, 400]
    assert {(line["method"], line["path"], line["kind"]) for line in lines} == {("", "", "invalid")}
    assert {line["client"] for line in lines} == {"127.0.0.1"}


@pytest.mark.parametrize("status", [200, 204, 302, 404, 503])
async def test_a_status_has_its_phrase(start: Start, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    stream = await (await start(app)).connect()
    await stream.send_all(GET)
    line = (await until(stream, b"\r\n\r\n")).partition(b"\r\n")[0].decode()
    assert line == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"


async def test_draining_waits_a_moment_for_a_request_that_is_on_its_way(
    start: Start, nursery: trio.Nursery
) -> None:
    server = await start(hello)
    stream = await server.connect()
    await stream.send_all(GET)
    await until(stream, b"hello")
    nursery.start_soon(server.connections.drain)
    await wait_all_tasks_blocked()
    await stream.send_all(GET)
    received = await until(stream, b"nothing more")
    assert b"\r\nconnection: close\r\n" in received
    assert received.endswith(b"hello")
