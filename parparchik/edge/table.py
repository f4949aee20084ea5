"""The open connections: watched, written to, closed, and given away."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from parparchik.edge.connection import After, Connection, State
from parparchik.edge.limits import Limits
from parparchik.edge.statistics import Counts

HandOver = Callable[[socket.socket, bytes], Awaitable[None]]
"""Serve this connection, of which these bytes have been read; returns when it is over. The socket
is the callee's."""

_AT_ONCE = struct.pack("ii", 1, 0)  # of SO_LINGER: with a reset (RFC 9293 section 3.5.2)

log = structlog.get_logger(__name__)


class Table:
    """Lives as long as one run of the reactor. `now_s` is Trio's clock, brought up to date once a
    second; `made_room` is called when there may be one connection more; `elsewhere` says how many
    connections others have that the limit is for as well."""

    def __init__(
        self,
        nursery: trio.Nursery,
        hand_over: HandOver,
        limits: Limits,
        counts: Counts,
        made_room: Callable[[], object],
        *,
        elsewhere: Callable[[], int],
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self.epoll = select.epoll()
        self.now_s = trio.current_time()
        self.emptied = trio.lowlevel.ParkingLot()
        self._nursery = nursery
        self._hand_over = hand_over
        self._limits = limits
        self._counts = counts
        self._made_room = made_room
        self._elsewhere = elsewhere
        self._given_away = 0

    @property
    def taken(self) -> int:
        """Those that were handed over still count."""
        return len(self.connections) + self._given_away

    def has_room(self) -> bool:
        return self.taken + self._elsewhere() < self._limits.max_connections

    def admit(self, sock: socket.socket, client: str) -> None:
        self._counts.accepted += 1
        connection = Connection(sock, client, self.now_s)
        self.connections[connection.fd] = connection
        self.watch(connection, select.EPOLLIN)

    def watch(self, connection: Connection, events: int) -> None:
        """Wait for `events` of the connection; 0: for nothing, not even its end."""
        if events == connection.watched:
            return
        if not connection.watched:
            self.epoll.register(connection.fd, events)
        elif events:
            self.epoll.modify(connection.fd, events)
        else:
            self.epoll.unregister(connection.fd)
        connection.watched = events

    def finish(
        self, connection: Connection, response: bytes, after: After, body: bytes = b""
    ) -> None:
        """Write `response`, and `body` behind it; then, or when the client has taken them, go on
        with `after`."""
        connection.after = after
        if body:
            self._write_both(connection, response, body)
        elif response:
            self.write(connection, response)
        if connection.state is State.READING and after is not After.READ:
            self._follow(connection)

    def write(self, connection: Connection, response: bytes) -> None:
        """Write at once, or as the client takes it: then the connection is WRITING."""
        connection.answered = True
        try:
            sent = connection.send(response)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(connection)
            return
        if sent < len(response):
            self._keep(connection, memoryview(response)[sent:])

    def _write_both(self, connection: Connection, head: bytes, body: bytes) -> None:
        """`write`, without a copy of `body`."""
        connection.answered = True
        try:
            sent = connection.sock.sendmsg([head, body])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(connection)
            return
        if sent < len(head):
            self._keep(connection, memoryview(head[sent:] + body))
        elif sent < len(head) + len(body):
            self._keep(connection, memoryview(body)[sent - len(head) :])

    def _keep(self, connection: Connection, unsent: memoryview) -> None:
        connection.unsent = unsent
        connection.state = State.WRITING
        connection.since_s = self.now_s
        self.watch(connection, select.EPOLLOUT)

    def write_on(self, connection: Connection) -> bool:
        """Write more of what the client has not taken; whether it may be read from again."""
        try:
            sent = connection.send(connection.unsent)
        except BlockingIOError:
            return False
        except OSError:
            self.close(connection)
            return False
        connection.since_s = self.now_s
        connection.unsent = connection.unsent[sent:]
        if connection.unsent:
            return False
        connection.state = State.READING
        if connection.after is not After.READ:
            self._follow(connection)
            return False
        self.watch(connection, select.EPOLLIN)
        return True

    def linger_on(self, connection: Connection) -> None:
        """Read what its client still sends, for nobody, until it closes."""
        try:
            if connection.recv(65_536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close(connection)

    def close(self, connection: Connection) -> None:
        self._forget(connection)
        connection.sock.close()
        self._made_room()

    def reset(self, connection: Connection) -> None:
        """Close so that the client takes nothing that it has got for whole."""
        with suppress(OSError):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close(connection)

    def close_all(self) -> None:
        for connection in tuple(self.connections.values()):
            self.close(connection)

    def _follow(self, connection: Connection) -> None:
        """All is written, and no further request is read here."""
        if connection.after is After.HAND_OVER:
            self._forget(connection)
            self._counts.handed_over += 1
            self._given_away += 1
            self._nursery.start_soon(self._give_away, connection)
            return
        # The client closes first, or what it still sends would reset the connection and might
        # cost it the last answer (RFC 9112 section 9.6).
        connection.state = State.LINGERING
        connection.since_s = self.now_s
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        self.watch(connection, select.EPOLLIN)

    async def _give_away(self, connection: Connection) -> None:
        try:
            await self._hand_over(connection.sock, connection.received)
        except Exception:  # one connection must not end the others' server
            log.exception("connection failed")
            connection.sock.close()
        finally:
            self._given_away -= 1
            self._made_room()

    def _forget(self, connection: Connection) -> None:
        if connection.state is not State.CLOSED:
            connection.state = State.CLOSED
            connection.unsent = memoryview(b"")
            if connection.stream is not None:
                connection.stream.end()
            self.watch(connection, 0)
            del self.connections[connection.fd]
            if not self.connections:
                self.emptied.unpark_all()
