"""One client's connection: a socket, and where it is between reading, asking and writing.

    READING --a request that S3 must be asked for--> WAITING --its answer--> READING
       |  more requests in one piece than are answered at a time --> QUEUED --its turn--> READING
       |  any answer that the socket does not take whole --> WRITING --> READING, or on
       |  an answer whose body comes as it is sent --> STREAMING --> READING, or on
       |  the last answer --> LINGERING --the client closes, or a moment passes--> CLOSED
       |  a request that others answer --> given away: no connection of ours any more

Only READING reads requests. So whatever a client sends, it costs one read beyond what is answered.
"""

from __future__ import annotations

import fcntl
import select
import socket
import sys
import termios
from enum import IntEnum
from typing import Protocol

READ_BYTES = 16_384

GONE = select.EPOLLERR | select.EPOLLHUP
"""What epoll says, unasked, of a client that is."""


class State(IntEnum):
    READING = 0
    WAITING = 1
    WRITING = 2
    LINGERING = 3
    CLOSED = 4
    QUEUED = 5
    STREAMING = 6


class After(IntEnum):
    """What follows when all that is to be written is written."""

    READ = 0
    LINGER = 1
    HAND_OVER = 2


class Writing(Protocol):
    """Whatever writes on a connection that is STREAMING. `blocked`: the client has yet to take
    something."""

    @property
    def blocked(self) -> bool: ...

    def notice(self, events: int) -> None:
        """What epoll says of the connection."""
        ...

    def end(self) -> None:
        """The connection is closed."""
        ...


class Connection:
    """`received` are bytes that were read and not answered; `unsent` is what the socket has not
    taken yet, `unacknowledged` how much the client had not of what it has taken, when last looked
    at. `counted`: the first request in `received` has been held against its client's limit already.
    `needed_bytes`: as long as fewer have been received, the body of the first has not come whole.
    `since_s` is when it last got on, by the reactor's coarse clock."""

    __slots__ = (
        "after",
        "answered",
        "client",
        "counted",
        "fd",
        "needed_bytes",
        "received",
        "recv",
        "seen_bytes",
        "send",
        "since_s",
        "sock",
        "state",
        "stream",
        "unacknowledged",
        "unsent",
        "watched",
    )

    def __init__(self, sock: socket.socket, client: str, since_s: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.client = client
        self.counted = False
        self.recv = sock.recv
        self.send = sock.send
        self.since_s = since_s
        self.state = State.READING
        self.after = After.READ
        self.answered = False
        self.needed_bytes = 0
        self.received = b""
        self.seen_bytes = 0
        self.stream: Writing | None = None
        self.unacknowledged = 0
        self.unsent = memoryview(b"")
        self.watched = 0


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Sent, and not arrived at the client's side yet (tcp(7), SIOCOUTQ)."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)
