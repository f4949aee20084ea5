"""A small request under way that no task waits for: the reactor calls when something arrives.

Whoever is to be told is told once, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import httpx

from parparchik.s3.connection import Connection
from parparchik.s3.pool import Pool
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import Reply, ResponseParser, by_name

ANSWER_MAX_BYTES = 1 << 20  # of a body; what S3 says to a small request has a few hundred

T = TypeVar("T")


class Unattended(Generic[T]):
    """One request on a connection that is its own; a reactor's `Waiter`. `then` is told what
    `_take` made of the answer; or why there is none; or None, if the connection had been closed
    before S3 can have read the request."""

    __slots__ = ("_connection", "_fd", "_parser", "_pool", "_reactor", "_then", "deadline_s")

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
        self.deadline_s = 0.0

    def begin(self, request: bytes, deadline_s: float) -> bool:
        """Whether the request could be sent. If not, the connection is closed."""
        self.deadline_s = deadline_s
        self._fd = self._reactor.wait(self._connection, self)
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
            self._then(httpx.ReadTimeout("no answer in time"))

    def on_stop(self) -> None:
        self.cancel()
        self._then(None)

    def _take(self, data: bytes) -> T | None:
        """What the answer says, which ends this (`_end`); None while it is incomplete. Raises
        httpx.TransportError. All that can be received must be: there is no second call for it."""
        raise NotImplementedError

    def _end(self, *, reusable: bool) -> None:
        self._reactor.forget(self._fd)
        self._fd = -1
        if reusable:
            self._pool.release(self._connection)
        else:
            self._pool.discard(self._connection)


class Errand(Unattended[Reply]):
    """A request whose whole answer is wanted."""

    __slots__ = ("_pieces",)

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reactor: Reactor,
        then: Callable[[Reply | httpx.TransportError | None], None],
    ) -> None:
        super().__init__(pool, connection, reactor, then)
        self._pieces: list[bytes] = []

    def _take(self, data: bytes) -> Reply | None:
        parser = self._parser
        if parser is None:
            parser = self._parser = ResponseParser(to_head=False)
        piece: bytes | None = data
        while piece is not None:
            if piece:
                parser.feed(piece)
            else:
                parser.feed_eof()
            self._pieces += parser.take_body()
            if parser.complete:
                break
            if sum(map(len, self._pieces)) > ANSWER_MAX_BYTES:
                raise httpx.RemoteProtocolError("the answer to a small request is too large")
            piece = self._connection.receive_nowait()
        else:
            return None
        self._end(reusable=parser.reusable)
        return Reply(parser.status, by_name(parser.headers), b"".join(self._pieces))
