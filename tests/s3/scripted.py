"""A real server on 127.0.0.1 whose every byte the test decides.

Requests are parsed by h11, which accepts nothing malformed; answers are sent as they are given.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h11
import trio

from parparchik.s3.addressing import Origin
from parparchik.s3.pool import PoolStatistics
from parparchik.s3.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the server got it; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's side of one connection; `number` counts connections from 0."""

    def __init__(self, stream: trio.abc.Stream, number: int, server: ScriptedServer) -> None:
        self.number = number
        self._stream = stream
        self._server = server
        self._rest = b""

    async def request(self) -> Seen | None:
        """The next request with its whole body; None when the client has closed, be it in the
        middle."""
        request = await self.request_head()
        if request is None:
            return None
        body = bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.ConnectionClosed):
                return None
            assert isinstance(event, h11.Data), event
            body += event.data
        self._rest = self._parser.trailing_data[0]
        seen = Seen(request.method, request.target, request.headers, bytes(body))
        self._server.requests.append(seen)
        return seen

    async def request_head(self) -> Seen | None:
        """The next request without its body, which is left unread."""
        self._parser = h11.Connection(h11.SERVER)
        if self._rest:
            self._parser.receive_data(self._rest)
            self._rest = b""
        event = await self._next_event()
        if isinstance(event, h11.ConnectionClosed):
            return None
        assert isinstance(event, h11.Request), event
        return Seen(
            event.method.decode(),
            event.target.decode(),
            {name.decode(): value.decode() for name, value in event.headers},
            b"",
        )

    async def send(self, data: bytes, *, step: int = 0) -> None:
        """`step` bytes at a time, each of them a packet."""
        for start in range(0, len(data), step or len(data) or 1):
            await self._stream.send_all(data[start : start + (step or len(data))])
            await trio.lowlevel.checkpoint()

    async def end_sending(self) -> None:
        assert isinstance(self._stream, trio.SocketStream)
        await self._stream.send_eof()

    async def close(self) -> None:
        """An orderly end, with TLS's goodbye where there is TLS."""
        await self._stream.aclose()

    async def hang_up(self) -> None:
        """An end without TLS's goodbye."""
        await trio.aclose_forcefully(self._stream)

    async def closed_by_client(self) -> bool:
        """Wait for the client to close the connection, or to send something else."""
        try:
            return await self._stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True

    async def _next_event(self) -> h11.Event:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            try:
                data = bytes(await self._stream.receive_some())
            except trio.BrokenResourceError:
                return h11.ConnectionClosed()
            if not data and self._parser.their_state is h11.SEND_BODY:
                return h11.ConnectionClosed()
            self._parser.receive_data(data)
        assert isinstance(event, h11.Event), event
        return event


Script = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class ScriptedServer:
    origin: Origin
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return str(self.origin)


def pool_of(transport: Transport, server: ScriptedServer) -> PoolStatistics:
    return transport.pool(server.origin).statistics()


def answering(*answers: bytes) -> Script:
    """Each request on a connection gets the next answer; the last one is repeated."""

    async def script(peer: Peer) -> None:
        number = 0
        while await peer.request():
            await peer.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


def replying(reply: Callable[[Seen], bytes]) -> Script:
    """Each request gets the answer that `reply` makes for it."""

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            await peer.send(reply(seen))

    return script


async def serve(
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    task_status: trio.TaskStatus[ScriptedServer],
) -> None:
    """Run `script` for every connection, until cancelled."""
    listeners = await trio.open_tcp_listeners(0, host=host)
    port = listeners[0].socket.getsockname()[1]
    server = ScriptedServer(Origin("https" if tls else "http", host, port))

    async def handle(plain: trio.SocketStream) -> None:
        stream: trio.abc.Stream = plain
        if tls is not None:
            secure = trio.SSLStream(plain, tls, server_side=True)
            try:
                await secure.do_handshake()
            except trio.BrokenResourceError:
                return
            stream = secure
        peer = Peer(stream, server.connections, server)
        server.connections += 1
        try:
            await script(peer)
        except trio.BrokenResourceError:
            pass  # the client went away
        finally:
            await trio.aclose_forcefully(stream)

    task_status.started(server)
    await trio.serve_listeners(handle, listeners)


def in_turn(*replies: bytes, step: int = 0) -> Script:
    """One after another, on whatever connection, the last again and again; an empty one closes the
    connection."""
    left = [*replies]

    async def script(peer: Peer) -> None:
        while await peer.request():
            reply = left.pop(0) if len(left) > 1 else left[0]
            if not reply:
                return
            await peer.send(reply, step=step)

    return script
