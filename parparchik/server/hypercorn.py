"""Hypercorn's per-connection server, the only use of Hypercorn in the project.

What is used is internal API (the dependency is pinned to one minor version): a `TCPServer` speaks
HTTP/1.1, HTTP/2 with prior knowledge and the h2c upgrade on one accepted stream and calls an ASGI
app. Hypercorn's own accept loop stays unused, because there

- an exception out of one connection's protocol code ends the whole server (an upload over HTTP/2
  that goes on after its answer is enough),
- a client that stops reading holds a shielded write that no shutdown can end, and
- a connection that its client has closed keeps its descriptor until the idle time-out.

So every connection runs under a guard of ours, on a stream that gives up on a stalled write and
tells when the client is gone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from parparchik.web import ASGIApp

IDLE_TIMEOUT_S = 75.0
"""Longer than the 60 s of common load balancers: the one that reuses a connection must be the one
that closes it, or requests are lost between the two."""

STALL_TIMEOUT_S = 60.0
"""A write of which the client takes nothing for this long ends its connection."""

LINGER_S = 1.0

WRITE_SLICE_BYTES = 65_536

log = structlog.get_logger(__name__)


class GuardedStream:
    """A client's TCP stream that stalls nobody and takes no answer back.

    Writes end when the client has stopped reading. Closing waits a moment for the client to close
    first, and reads what it still sends: closing on unread bytes would reset the connection, and
    the client might lose the last answer (RFC 9112 section 9.6).

    It has what Hypercorn asks of a plain stream: `socket`, `receive_some`, `send_all`, `send_eof`
    and `aclose`, and no `do_handshake`, by which Hypercorn knows that it is not TLS.
    """

    def __init__(
        self, stream: trio.SocketStream, on_client_gone: Callable[[], Awaitable[None]]
    ) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._on_client_gone = on_client_gone
        self._reading = False
        self._lingers = False
        self._we_are_done = False
        self._client_is_done = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = b""
        self._reading = True
        try:
            data = await self._stream.receive_some(max_bytes)
            while data and self._lingers:
                data = await self._stream.receive_some(max_bytes)
        finally:
            self._reading = False
            if not data:
                self._client_is_done.set()
                await self._on_client_gone()
        return data

    async def send_all(self, data: bytes) -> None:
        """Write `data`; BrokenResourceError when the client takes none of it for too long."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE_SLICE_BYTES):
            with trio.move_on_after(STALL_TIMEOUT_S) as stall:
                await self._stream.send_all(view[start : start + WRITE_SLICE_BYTES])
            if stall.cancelled_caught:
                self.abort()
                raise trio.BrokenResourceError("the client has stopped reading")

    async def send_eof(self) -> None:
        await self._stream.send_eof()
        self._we_are_done = True

    async def aclose(self) -> None:
        try:
            if self._we_are_done and not self._lingers:
                self._lingers = True
                with trio.move_on_after(LINGER_S):
                    if self._reading:  # by another task, which discards from now on
                        await self._client_is_done.wait()
                    elif not self._client_is_done.is_set():
                        await self.receive_some(WRITE_SLICE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await self._stream.aclose()

    def abort(self) -> None:
        """Close at once; tasks that read or write here wake up with ClosedResourceError."""
        self.socket.close()


class HypercornConnections:
    """Serves an ASGI app on accepted streams, one `serve` per connection."""

    def __init__(self, app: ASGIApp) -> None:
        config = Config()
        config.accesslog = None  # the app writes its own, without signatures
        config.errorlog = logging.getLogger("hypercorn.error")
        config.include_date_header = True
        config.include_server_header = False
        config.keep_alive_timeout = IDLE_TIMEOUT_S
        # Nothing here grows with the requests of a connection, and a client that pipelines loses
        # what it has sent behind the last one.
        config.keep_alive_max_requests = sys.maxsize
        self._app = ASGIWrapper(cast("Any", app))  # ASGI in Hypercorn's narrower types
        self._config = config
        # Hypercorn's context of a whole server is one connection's here: its `terminated` is how
        # a connection is told to end when it is idle.
        self._open: dict[GuardedStream, WorkerContext] = {}
        self._closed = trio.lowlevel.ParkingLot()

    @property
    def count(self) -> int:
        """Open connections."""
        return len(self._open)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until either side closes it. Only Cancelled gets out."""
        context = WorkerContext(max_requests=None)
        guarded = GuardedStream(stream, context.terminated.set)
        self._open[guarded] = context
        try:
            await self._connection(guarded, context)
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

    def _connection(self, stream: GuardedStream, context: WorkerContext) -> Awaitable[None]:
        plain = cast("Any", stream)  # annotated as a TLS stream, but written for both
        return TCPServer(self._app, self._config, context, ConnectionState({}), plain)

    async def drain(self) -> None:
        """Close idle connections, and each other one after the answer that it is at; returns when
        none is left."""
        for context in self._open.values():
            await context.terminated.set()
        while self._open:
            await self._closed.park()

    def abort(self) -> None:
        """Close every connection at once, whatever it is at."""
        for stream in self._open:
            stream.abort()
