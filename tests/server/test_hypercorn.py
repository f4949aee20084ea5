"""The guard around Hypercorn's per-connection server: one client harms only itself."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.config.model import ServerConfig
from parparchik.server.hypercorn import HypercornConnections
from parparchik.server.stream import LINGER_S
from parparchik.web import ASGIApp

if TYPE_CHECKING:
    from tests.server.conftest import Logged

STALL_TIMEOUT_S = ServerConfig().write_timeout_s
GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


async def respond(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Server:
    connections: HypercornConnections
    port: int
    clients: list[trio.SocketStream] = field(default_factory=list)

    async def connect(self) -> trio.SocketStream:
        self.clients.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self.clients[-1]


Start = Callable[..., Any]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    servers: list[Server] = []

    async def start(app: ASGIApp, **settings: Any) -> Server:
        connections = HypercornConnections(app, ServerConfig(**{"h2c": True, **settings}))
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(partial(trio.serve_listeners, connections.serve, listeners))
        servers.append(Server(connections, listeners[0].socket.getsockname()[1]))
        return servers[-1]

    yield start
    for server in servers:
        for client in server.clients:
            client.socket.close()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"hello")


async def until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    received = b""
    while end not in received:
        piece = await stream.receive_some()
        if not piece:
            return received
        received += piece
    return received


@dataclass
class H2Client:
    """HTTP/2 with prior knowledge."""

    stream: trio.SocketStream
    h2: h2.connection.H2Connection = field(
        default_factory=lambda: h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False)
        )
    )

    async def begin(self, path: bytes, *, end_stream: bool = True) -> int:
        number: int = self.h2.get_next_available_stream_id()
        if number == 1:
            self.h2.initiate_connection()
        headers = [(b":method", b"GET"), (b":path", path), (b":scheme", b"http")]
        self.h2.send_headers(number, [*headers, (b":authority", b"t")], end_stream=end_stream)
        await self.flush()
        return number

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def body(self) -> bytes:
        """Of the next answer; b'' when the connection ends without."""
        body = b""
        while data := await self.stream.receive_some():
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    return body
        return body


async def test_http2_with_prior_knowledge(start: Start) -> None:
    client = H2Client(await (await start(hello)).connect())
    for _ in range(2):
        await client.begin(b"/")
        assert await client.body() == b"hello"


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

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await answer.wait()
        await respond(send, b"hello")

    server = await start(later)
    stream = await server.connect()
    await stream.send_all(GET)
    await stream.send_eof()
    await wait_all_tasks_blocked()
    answer.set()
    assert b"hello" in await until(stream, b"hello")
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_an_upload_that_goes_on_after_the_answer_ends_only_its_connection(
    start: Start, logged: Logged
) -> None:
    server = await start(hello)
    bystander = await server.connect()
    client = H2Client(await server.connect())
    number = await client.begin(b"/", end_stream=False)
    assert await client.body() == b"hello"
    client.h2.send_data(number, b"more")
    await client.flush()
    assert await client.stream.receive_some() == b""
    await client.stream.aclose()
    await wait_all_tasks_blocked()
    assert len(logged.named("connection failed")) == 1
    await bystander.send_all(GET)
    assert b"hello" in await until(bystander, b"hello")


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

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await answer.wait()
        await respond(send, b"hello")

    server = await start(later)
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
    assert server.connections.refused == {"repeated Content-Length": 1}


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


async def test_a_head_that_never_ends_is_given_up(start: Start, autojump_clock: MockClock) -> None:
    server = await start(hello, header_timeout_s=5.0, idle_timeout_s=60.0)
    stream = await server.connect()
    await stream.send_all(GET)
    await until(stream, b"hello")
    for _ in range(4):
        await stream.send_all(b"GET"[:1])
        await trio.sleep(1)
    assert server.connections.count == 1
    await trio.sleep(3)
    assert server.connections.count == 0


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


async def test_http2_is_told_to_go_and_what_is_under_way_is_answered(
    start: Start, nursery: trio.Nursery
) -> None:
    answer = trio.Event()

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await answer.wait()
        await respond(send, b"hello")

    server = await start(later)
    client = H2Client(await server.connect())
    await client.begin(b"/")
    await wait_all_tasks_blocked()
    nursery.start_soon(server.connections.drain)
    await wait_all_tasks_blocked()
    answer.set()
    received = b""
    while data := await client.stream.receive_some():
        received += data
    kinds = frame_kinds(received)
    assert b"hello" in received
    assert kinds[-1] == GOAWAY
    assert kinds.index(GOAWAY) < kinds.index(DATA)


GOAWAY, DATA = 7, 0


def frame_kinds(data: bytes) -> list[int]:
    kinds = []
    while data:
        length = int.from_bytes(data[:3], "big")
        kinds.append(data[3])
        data = data[9 + length :]
    return kinds
