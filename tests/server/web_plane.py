"""Hypercorn's connections alone, before small apps, and clients that speak as they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import trio

from parparchik.server.hypercorn import HypercornConnections
from parparchik.web import ASGIApp

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


async def respond(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"hello")


def when(event: trio.Event) -> ASGIApp:
    """Answers no sooner."""

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await event.wait()
        await respond(send, b"hello")

    return later


async def until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    received = b""
    while end not in received:
        piece = await stream.receive_some()
        if not piece:
            return received
        received += piece
    return received


@dataclass
class Server:
    connections: HypercornConnections
    port: int
    clients: list[trio.SocketStream] = field(default_factory=list)

    async def connect(self) -> trio.SocketStream:
        self.clients.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self.clients[-1]

    async def connect_h2(self) -> H2Client:
        client = H2Client(await self.connect())
        client.h2.initiate_connection()
        await client.flush()
        return client


Start = Callable[..., Awaitable[Server]]

Fields = Iterable[tuple[bytes, bytes]]
SOUND = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"t"), (b":path", b"/"))


def _anything_goes() -> h2.connection.H2Connection:
    return h2.connection.H2Connection(
        h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )


@dataclass
class Answered:
    """Of one stream: `informed` are statuses before the last one's, `reset` has the error code
    where the server gave it up."""

    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    received: bytearray = field(default_factory=bytearray)
    informed: list[int] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def body(self) -> bytes:
        return bytes(self.received)

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


@dataclass
class H2Client:
    """HTTP/2 with prior knowledge. `goodbye` has the error code of the server's GOAWAY; `takes`:
    what has come makes room for more."""

    stream: trio.abc.Stream
    h2: h2.connection.H2Connection = field(default_factory=_anything_goes)
    answers: dict[int, Answered] = field(default_factory=dict)
    goodbye: int | None = None
    closed: bool = False
    takes: bool = False

    def begin(self, fields: Fields = SOUND, *, end_stream: bool = True) -> int:
        """A request, to be sent by `flush`."""
        number: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, list(fields), end_stream=end_stream)
        self.answers[number] = Answered()
        return number

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def receive(self) -> None:
        """Take what comes next."""
        data = await self.stream.receive_some()
        self.closed = not data
        for event in self.h2.receive_data(data) if data else ():
            match event:
                case h2.events.ResponseReceived():
                    (_, status), *headers = event.headers
                    answer = self.answers[event.stream_id]
                    answer.status, answer.headers = int(status), tuple(headers)
                case h2.events.InformationalResponseReceived():
                    self.answers[event.stream_id].informed.append(int(event.headers[0][1]))
                case h2.events.DataReceived():
                    self.answers[event.stream_id].received += event.data or b""
                    if self.takes:
                        size_bytes = event.flow_controlled_length
                        self.h2.acknowledge_received_data(size_bytes, event.stream_id)
                case h2.events.StreamEnded():
                    self.answers[event.stream_id].ended = True
                case h2.events.StreamReset():
                    self.answers[event.stream_id].reset = int(event.error_code)
                case h2.events.ConnectionTerminated():
                    self.goodbye = int(event.error_code or 0)
        if self.takes:
            await self.flush()

    async def answer(self, number: int) -> Answered:
        """When it is whole, or will never be."""
        with trio.fail_after(10):
            while not self.answers[number].over and not self.closed:
                await self.receive()
        return self.answers[number]

    async def ask(self, fields: Fields = SOUND) -> Answered:
        number = self.begin(fields)
        await self.flush()
        return await self.answer(number)

    async def until_closed(self) -> None:
        with trio.fail_after(10):
            while not self.closed:
                await self.receive()
