"""One connection of the load: a socket and what it is in the middle of."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable
from enum import IntEnum

from bench.load.answer import Answer, BadAnswer, ChunkedBody, Shot

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class State(IntEnum):
    IDLE = 0  # open or not, and nothing asked
    CONNECTING = 1
    ASKED = 2  # nothing of the answer has come
    READING = 3  # a part of it has
    LINGERING = 4  # answered; the server is to close


class Client:
    """`started_ns` is when the request was due, or begun; `sent_ns` when it was really begun.

    `held` and `answer` are what came of an answer that is not whole. `counts` False: begun in the
    warm-up.
    """

    __slots__ = (
        "answer",
        "chunks",
        "counts",
        "held",
        "recv",
        "send",
        "sent_ns",
        "shot",
        "sock",
        "started_ns",
        "state",
    )

    def __init__(self) -> None:
        self.state = State.IDLE
        self.sock: socket.socket | None = None
        self.recv: Callable[[int], bytes]
        self.send: Callable[[bytes], int]
        self.shot: Shot
        self.started_ns = 0
        self.sent_ns = 0
        self.counts = True
        self.held = b""
        self.answer: Answer | None = None
        self.chunks: ChunkedBody | None = None

    def use(self, sock: socket.socket) -> None:
        self.sock, self.recv, self.send = sock, sock.recv, sock.send

    def is_complete(self, answer: Answer, data: bytes) -> bool:
        """Whether an answer whose head has come, and of which `data` is the last piece, is whole.
        Raises BadAnswer."""
        if not answer.chunked:
            if len(self.held) > answer.length:
                raise BadAnswer("more than one answer")
            return len(self.held) == answer.length
        if self.chunks is None:
            self.chunks, data = ChunkedBody(keeps=True), self.held
        self.chunks.feed(data)
        return self.chunks.complete

    def whole(self, answer: Answer) -> tuple[Answer, bytes]:
        """An answer that is complete, and its body."""
        if self.chunks is not None:
            return self.chunks.whole(answer), bytes(self.chunks.content)
        return answer, self.held[answer.head_bytes :]

    def forget_answer(self) -> None:
        self.held, self.answer, self.chunks = b"", None, None


class Sockets:
    """Opens and closes the sockets of clients, and knows whose they are (`by_fd`)."""

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None = None, tls_name: str = ""
    ) -> None:
        """`address` is resolved."""
        self.by_fd: dict[int, Client] = {}
        self.epoll = select.epoll()
        self._address = address
        self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._tls = tls
        self._tls_name = tls_name

    def open(self, client: Client) -> None:
        """Begin to connect. Raises OSError where that fails at once."""
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        client.state = State.CONNECTING
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                sock.connect(self._address)
        except OSError:
            sock.close()
            raise
        client.use(sock)
        self.by_fd[sock.fileno()] = client
        self.epoll.register(sock.fileno(), select.EPOLLOUT)

    def advance(self, client: Client) -> bool:
        """Go on with connecting; True when the connection can be used. Raises OSError."""
        sock = client.sock
        assert sock is not None
        fd = sock.fileno()
        if not isinstance(sock, ssl.SSLSocket):
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "connect")
            if self._tls is not None:
                sock = self._tls.wrap_socket(
                    sock, server_hostname=self._tls_name, do_handshake_on_connect=False
                )
                client.use(sock)
        if isinstance(sock, ssl.SSLSocket):
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                self.epoll.modify(fd, select.EPOLLIN)
                return False
            except ssl.SSLWantWriteError:
                self.epoll.modify(fd, select.EPOLLOUT)
                return False
        self.epoll.modify(fd, select.EPOLLIN)
        return True

    def close(self, client: Client) -> None:
        sock, client.sock = client.sock, None
        client.forget_answer()
        if sock is not None and sock.fileno() >= 0:
            del self.by_fd[sock.fileno()]
            self.epoll.unregister(sock.fileno())
            sock.close()

    def leave(self, client: Client) -> None:
        """Wait for the server to close, as it was asked to: who closes first keeps the port, and
        the server has more of them. `client` is free for a new connection."""
        sock = client.sock
        if sock is None:
            return
        lingering = Client()
        lingering.use(sock)
        lingering.state, lingering.sent_ns = State.LINGERING, client.sent_ns
        self.by_fd[sock.fileno()] = lingering
        client.sock = None
        client.forget_answer()

    def close_all(self) -> None:
        for client in list(self.by_fd.values()):
            self.close(client)
        self.epoll.close()
