"""Hypercorn's per-connection server, the only use of Hypercorn in the project.

What is used is internal API (the dependency is pinned to one minor version): `H11Protocol` and
`H2Protocol` speak HTTP on one accepted stream and call an ASGI app. Hypercorn's own accept loop
stays unused, because there

- an exception out of one connection's protocol code ends the whole server (an upload over HTTP/2
  that goes on after its answer is enough),
- a client that stops reading holds a shielded write that no shutdown can end, and
- a connection that its client has closed keeps its descriptor until the idle time-out.

So every connection runs under a guard of ours, on a stream that gives up on a stalled write and
tells when the client is gone. Its HTTP/1.1 bytes pass the edge's judge of framing first: both
planes refuse the same requests with the same answer, and agree on where a request ends.

The idle time-out is longer than the 60 s of common load balancers: the one that reuses a
connection must be the one that closes it, or requests are lost between the two.
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.metrics import Traffic
from parparchik.server.context import Addresses, Context, House
from parparchik.server.http1 import H11
from parparchik.server.http2 import H2, MAX_STREAMS
from parparchik.server.protocols import Protocol
from parparchik.server.stream import LINGER_S, GuardedStream
from parparchik.web import ASGIApp

UNSENT_BYTES = 131_072
"""Of a connection, in the kernel."""

ClientStream = GuardedStream | trio.SSLStream[GuardedStream]

log = structlog.get_logger(__name__)


class _Connection(TCPServer):
    """Hypercorn's server of one connection, told by us whether it is TLS and what it speaks."""

    context: Context

    def __init__(
        self,
        app: ASGIWrapper,
        config: Config,
        context: Context,
        guarded: GuardedStream,
        stream: ClientStream,
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), cast("Any", stream))
        self._guarded = guarded
        self.awaits_head = False
        self._speaks: Protocol | None = None

    async def run(self) -> None:
        tls = isinstance(self.stream, trio.SSLStream)
        alpn = self.stream.selected_alpn_protocol() if tls else None
        family = self._guarded.socket.family
        try:
            addresses = Addresses(
                parse_socket_addr(family, self._guarded.socket.getpeername()),
                parse_socket_addr(family, self._guarded.socket.getsockname()),
                is_tls=tls,
            )
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self._speaks = Protocol(
                    *(self.app, self.config, self.context, task_group),
                    addresses=addresses,
                    send=self.protocol_send,
                    alpn=alpn,
                )
                self.protocol = cast("Any", self._speaks)  # what Hypercorn's own does
                await self.protocol.initiate()
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # the client was gone before it was served
        finally:
            await self._close()

    async def leave(self) -> None:
        """Let the client know that its next answer is the last."""
        self.context.closing = True
        if isinstance(self._spoken, H2):
            await self._spoken.announce_end()

    @property
    def _spoken(self) -> H11 | H2 | None:
        return self._speaks.spoken if self._speaks is not None else None

    async def protocol_send(self, event: Event) -> None:
        await super().protocol_send(event)
        if isinstance(event, Updated):
            self.awaits_head = False
            if event.idle:
                await self._watch_head()  # the next request may have begun before the answer ended

    async def _read_data(self) -> None:
        while True:
            try:
                data = await self.stream.receive_some(MAX_RECV)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            await self.protocol.handle(RawData(bytes(data)))
            if not data:
                break
            await self._watch_head()
        await self.context.terminated.set()
        await self.protocol.handle(Closed())

    async def _watch_head(self) -> None:
        """A request that has begun has little time to become whole."""
        spoken = self._spoken
        awaits = isinstance(spoken, H11) and spoken.awaits_head
        if awaits and not self.awaits_head:
            await self.idle_task.restart(self._task_group, self._head_timeout)
        self.awaits_head = awaits

    async def _head_timeout(self) -> None:
        spoken, house = self._spoken, self.context.house
        with trio.move_on_after(house.settings.header_timeout_s) as patience:
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            if patience.cancelled_caught and isinstance(spoken, H11):
                house.timed_out["header"] += 1
                await spoken.give_up()
            await self._initiate_server_close()

    async def _idle_timeout(self) -> None:
        house = self.context.house
        with trio.move_on_after(house.settings.idle_timeout_s) as patience:
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            if patience.cancelled_caught:
                house.timed_out["idle"] += 1
            self._guarded.lingers_when_closed = False
            if isinstance(self._spoken, H2):
                await self._spoken.say_goodbye()
            await self._initiate_server_close()

    async def _close(self) -> None:
        async with self.send_lock:  # TLS says goodbye, and not amid an answer
            await self.stream.aclose()  # which says all that is to be said before


class HypercornConnections:
    """Serves an ASGI app on accepted connections, one `serve` for each.

    `app` may be changed at any time: a request goes to the one that is there when it begins.
    `house` has what is counted; `failed_handshakes`: what spoke no TLS that we speak.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerConfig | None = None,
        request_ids: RequestIds | None = None,
        access: AccessLog | None = None,
    ) -> None:
        self.app = app
        self.house = House(
            *(settings or ServerConfig(), request_ids or RequestIds()),
            access or AccessLog(Traffic()),
        )
        self.accepted = 0
        self.failed_handshakes = 0
        config = Config()
        config.accesslog = None  # the app writes its own, without signatures
        config.errorlog = logging.getLogger("hypercorn.error")
        config.include_date_header = True
        config.include_server_header = False
        config.h2_max_concurrent_streams = MAX_STREAMS
        # Nothing here grows with the requests of a connection, and a client that pipelines loses
        # what it has sent behind the last one.
        config.keep_alive_max_requests = sys.maxsize
        self._config = config
        # ASGI in Hypercorn's narrower types.
        self._present_app = ASGIWrapper(cast("Any", self._ask_present_app))
        self._open: dict[GuardedStream, Context] = {}
        self._connections: set[_Connection] = set()
        self._closing = False
        self._closed = trio.lowlevel.ParkingLot()

    @property
    def count(self) -> int:
        """Open connections."""
        return len(self._open)

    async def hand_over(self, accepted: socket.socket, read: bytes) -> None:
        """Serve a plain connection of which another has read `read`. Owns the socket."""
        await self.serve(_stream_of(accepted), read=read)

    async def serve_tls(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        """Serve a connection that begins with a TLS handshake. Owns the socket."""
        await self.serve(_stream_of(accepted), tls=context)

    async def serve(
        self, stream: trio.SocketStream, *, read: bytes = b"", tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve one connection until either side closes it. Only Cancelled gets out."""
        context = Context(self.house)
        context.closing = self._closing
        guarded = GuardedStream(
            stream,
            context.terminated.set,
            stall_s=self.house.settings.write_timeout_s,
            read=read,
        )
        self.accepted += 1
        self._open[guarded] = context
        try:
            await self._serve(guarded, context, tls)
        except BaseExceptionGroup as group:
            crash, rest = group.split(Exception)
            if crash is not None:
                log.warning("connection failed", exc_info=crash)
            if rest is not None:
                raise rest from None
        except Exception as crash:  # one client's bytes must not end the others' server
            log.warning("connection failed", exc_info=crash)
        finally:
            guarded.abort()
            del self._open[guarded]
            self._closed.unpark_all()

    async def _serve(
        self, guarded: GuardedStream, context: Context, tls: ssl.SSLContext | None
    ) -> None:
        stream: ClientStream = guarded
        if tls is not None:
            stream = trio.SSLStream(guarded, tls, server_side=True, https_compatible=True)
            if not await self._shakes_hands(stream):
                return
        connection = _Connection(self._present_app, self._config, context, guarded, stream)
        self._connections.add(connection)
        try:
            await connection
        finally:
            self._connections.discard(connection)

    async def _shakes_hands(self, stream: trio.SSLStream[GuardedStream]) -> bool:
        with trio.move_on_after(self.house.settings.header_timeout_s):
            try:
                await stream.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as failure:
                log.debug("no TLS handshake", reason=str(failure.__cause__ or failure))
            else:
                return True
        self.failed_handshakes += 1
        return False

    async def _ask_present_app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    async def drain(self) -> None:
        """End each connection after its next answer, which says so; those that ask for nothing
        for a moment are closed. Returns when none is left."""
        self._closing = True
        for context in self._open.values():
            context.closing = True
        for connection in tuple(self._connections):
            await connection.leave()
        with trio.move_on_after(LINGER_S):
            await self._until_none()
        # A request that has begun to come is still waited for, within the time that heads have.
        begun = {each.context for each in self._connections if each.awaits_head}
        for context in tuple(self._open.values()):
            if context not in begun:
                await context.terminated.set()
        await self._until_none()

    async def _until_none(self) -> None:
        while self._open:
            await self._closed.park()

    def abort(self) -> None:
        """Close every connection at once, whatever it is at."""
        for stream in self._open:
            stream.abort()


def _stream_of(accepted: socket.socket) -> trio.SocketStream:
    # There is room for more as soon as most of this has gone: a client that takes little at a time
    # is seen to take it, and not only when a third of a buffer of megabytes has emptied.
    if accepted.family != socket.AF_UNIX:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
