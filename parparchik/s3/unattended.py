"""A small request under way that no task waits for: the reactor calls when something arrives.

Whoever is to be told is told once, whatever happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import httpx

from parparchik.errors import UpstreamError
from parparchik.s3.connection import Connection
from parparchik.s3.pool import Pool
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import Reply, ResponseParser, by_name

ANSWER_MAX_BYTES = 1 << 20  # of a body; what S3 says to a small request has a few hundred

T = TypeVar("T")


class Unattended(ABC, Generic[T]):
    """One request on a connection that is its own; a reactor's `Waiter`. `then` is told what
    `_take` made of the answer; or why there is none; or None, if the connection had been closed
    before S3 can have read the request."""

    __slots__ = (
        "_connection",
        "_fd",
        "_parser",
        "_pool",
        "_reactor",
        "_then",
        "_timeout_s",
        "deadline_s",
    )

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reactor: Reactor,
        then: Callable[[T | httpx.TransportError | None], None],
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._reactor = reactor
        self._then = then
        self._parser: ResponseParser | None = None  # as soon as an answer is parsed
        self._fd = -1
        self._timeout_s = 0.0
        self.deadline_s = 0.0

    def begin(self, request: bytes, *, now_s: float, timeout_s: float) -> bool:
        """Whether the request could be sent. If not, the connection is closed. `now_s` is Trio's
        time."""
        self._timeout_s = timeout_s
        self.deadline_s = now_s + timeout_s
        try:
            self._fd = self._reactor.wait(self._connection, self)
        except OSError:  # the kernel watches no more of them (epoll_ctl(2), ENOSPC)
            self._pool.discard(self._connection)
            return False
        try:
            if self._connection.send_nowait(request):
                return True
        except httpx.WriteError:
            pass  # closed meanwhile
        self.cancel()
        return False

    def cancel(self) -> None:
        """Nobody is called, and the connection, on which an answer is still to come, is closed."""
        self._end(reusable=False)

    def on_readable(self) -> None:
        try:
            data = self._connection.receive_nowait()
            if data is None:
                return
            answer = self._take(data)
        except httpx.TransportError as error:
            self.cancel()
            begun = self._parser is not None and self._parser.started
            self._then(error if begun else None)
            return
        if answer is not None:
            self._then(answer)

    def on_timeout(self) -> None:
        self.on_readable()  # it may have been this process that was held up, not S3
        if self._fd >= 0:
            self.cancel()
            self._then(httpx.ReadTimeout(f"no answer within {self._timeout_s:g} s"))

    def on_stop(self) -> None:
        self.cancel()
        self._then(None)

    @abstractmethod
    def _take(self, data: bytes) -> T | None:
        """What the answer says, which ends this (`_end`); None while it is incomplete. Raises
        httpx.TransportError. All that can be received must be: there is no second call for it."""

    def _end(self, *, reusable: bool) -> None:
        self._reactor.forget(self._fd)
        self._fd = -1
        if reusable:
            self._pool.release(self._connection)
        else:
            self._pool.discard(self._connection)


class Errand(Unattended[Reply | UpstreamError]):
    """A request whose whole answer is wanted; an error, if that is larger than it can be."""

    __slots__ = ("_pieces", "_size_bytes")

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reactor: Reactor,
        then: Callable[[Reply | UpstreamError | httpx.TransportError | None], None],
    ) -> None:
        super().__init__(pool, connection, reactor, then)
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def _take(self, data: bytes) -> Reply | UpstreamError | None:
        parser = self._parser
        if parser is None:
            parser = self._parser = ResponseParser(to_head=False)
        piece: bytes | None = data
        while piece is not None:
            if piece:
                parser.feed(piece)
            else:
                parser.feed_eof()
            pieces = parser.take_body()
            self._pieces += pieces
            self._size_bytes += sum(map(len, pieces))
            if self._size_bytes > ANSWER_MAX_BYTES:
                self._end(reusable=False)
                return UpstreamError(f"S3's answer is larger than {ANSWER_MAX_BYTES} bytes")
            if parser.complete:
                self._end(reusable=parser.reusable)
                return Reply(parser.status, by_name(parser.headers), b"".join(self._pieces))
            piece = self._connection.receive_nowait()
        return None
