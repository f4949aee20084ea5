"""Accepts connections and gives each to a task of its own: for TLS, where there is no edge."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

PAUSE_S = 0.1
"""When there are as many connections as there may be, or descriptors have run out: those who come
wait in the kernel's queue."""

Handle = Callable[[socket.socket], Awaitable[None]]

log = structlog.get_logger(__name__)


class Acceptor:
    """`handle` owns the non-blocking socket that it is given, and lets no failure out. Connections
    `elsewhere` count as its own. `pauses` counts the times that no more were taken."""

    def __init__(
        self, handle: Handle, *, max_connections: int, elsewhere: Callable[[], int] = lambda: 0
    ) -> None:
        self._handle = handle
        self._max_connections = max_connections
        self._elsewhere = elsewhere
        self.pauses = 0
        self._open = 0
        self._accepting = trio.CancelScope()
        self._sockets: Sequence[socket.socket] = ()
        self._nursery: trio.Nursery | None = None

    async def serve(
        self, sockets: Sequence[socket.socket], *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Until cancelled; `stop_accepting` ends only what its name says."""
        self._sockets = sockets
        async with trio.open_nursery() as handlers:
            self._nursery = handlers
            with self._accepting:
                async with trio.open_nursery() as accepting:
                    for listening in sockets:
                        accepting.start_soon(self._accept, listening)
                    task_status.started()
            await trio.sleep_forever()

    def stop_accepting(self) -> None:
        """Whoever has connected by now is still served: closing a socket resets those who wait
        in its queue."""
        self._accepting.cancel()
        for listening in self._sockets:
            try:
                while self._take(listening):
                    pass
            except OSError as error:  # out of descriptors: an orderly end goes before these
                log.warning("connections not accepted", reason=error.strerror or str(error))
        self._sockets = ()

    async def _accept(self, listening: socket.socket) -> None:
        exhausted = False
        while True:
            if not self._has_room():
                self.pauses += 1
            while not self._has_room():  # noqa: ASYNC110  who leaves tells nobody
                await trio.sleep(PAUSE_S)
            await trio.lowlevel.wait_readable(listening)
            try:
                self._take(listening)
                exhausted = False
            except OSError as error:  # EMFILE and the like
                if not exhausted:  # told once
                    exhausted = True
                    self.pauses += 1
                    log.warning("accepting pauses", reason=error.strerror or str(error))
                await trio.sleep(PAUSE_S)

    @property
    def taken(self) -> int:
        """What counts against the limit."""
        return self._open

    def _has_room(self) -> bool:
        return self._open + self._elsewhere() < self._max_connections

    def _take(self, listening: socket.socket) -> bool:
        """Whether a connection was waiting."""
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        accepted.setblocking(False)
        assert self._nursery is not None  # noqa: S101  `serve` is at work
        self._open += 1
        self._nursery.start_soon(self._serve_one, accepted)
        return True

    async def _serve_one(self, accepted: socket.socket) -> None:
        try:
            await self._handle(accepted)
        finally:
            self._open -= 1
            accepted.close()
