"""Taking connections in: a few at a time, so that workers which share a port share the load, and
none while there is no room for them: then they wait in the kernel's queue.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Sequence

import structlog

A_FEW = 8
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOT_OURS = frozenset({errno.EBADF, errno.EINVAL})  # its owner has closed it

log = structlog.get_logger(__name__)

Admit = Callable[[socket.socket, str], None]


class Acceptor:
    """Accepts from `listeners`, which belong to the caller, and gives each socket to `admit` with
    its client's address. `has_room` says whether there may be more."""

    def __init__(
        self,
        epoll: select.epoll,
        listeners: Sequence[socket.socket],
        admit: Admit,
        has_room: Callable[[], bool],
    ) -> None:
        self.pauses = 0
        self._epoll = epoll
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._admit = admit
        self._has_room = has_room
        self._listening = False
        self.exhausted = False  # of descriptors: told once, tried again by the clock

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    def resume(self) -> None:
        """Accept again where that was paused and there is room."""
        # Those who were handed over may end, and make room, after the set is closed.
        if not self._listening and self._has_room() and not self._epoll.closed:
            self._listening = True
            for fd in self._listeners:
                # One new connection wakes one of the workers that share the listener.
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def accept(self, fd: int) -> None:
        """Take a few connections of a listener that has some."""
        listener = self._listeners[fd]
        for _ in range(A_FEW):
            if not self._has_room():
                self._pause()
                return
            if not self._accept_one(listener):
                return

    def stop(self) -> None:
        """Take what has been queued, since the client of each believes itself served; then no
        more, for good."""
        for listener in self._listeners.values():
            while self._accept_one(listener):
                pass
        self._unregister()
        self._listeners = {}

    def _accept_one(self, listener: socket.socket) -> bool:
        """Whether there may be another."""
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NOT_OURS:
                return False
            if error.errno not in _OUT_OF:
                return True  # that client has left already
            if not self.exhausted:
                self.exhausted = True
                log.warning("accepting pauses: out of descriptors", reason=error.strerror)
            self._pause()
            return False
        self.exhausted = False
        sock.setblocking(False)
        if listener.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._admit(sock, address[0] if isinstance(address, tuple) else "")
        return True

    def _pause(self) -> None:
        self.pauses += self._listening
        self._unregister()

    def _unregister(self) -> None:
        if self._listening:
            self._listening = False
            for fd in self._listeners:
                self._epoll.unregister(fd)
