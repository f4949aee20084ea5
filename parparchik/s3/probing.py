"""One HEAD under way that no task waits for: the reactor calls when something arrives.

An answer that is recognised (see `prepared`) is not parsed; any other is, in earnest. Whoever is to
be told is told once, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from parparchik.errors import UpstreamError
from parparchik.model import ObjectHead
from parparchik.s3.connection import Connection
from parparchik.s3.pool import Pool
from parparchik.s3.prepared import Prepared
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import Reply, ResponseParser, object_head
from parparchik.s3.trace import traced

# What S3 says of an object; or its answer, if that is of another kind; or why there is none; or
# None, if the connection had been closed before S3 can have read the request.
Outcome = ObjectHead | Reply | httpx.TransportError | None


class Probe:
    """One HEAD under way on a connection that is its own; a reactor's `Waiter`."""

    __slots__ = (
        "_connection",
        "_fd",
        "_parser",
        "_pool",
        "_prepared",
        "_reactor",
        "_then",
        "deadline_s",
    )

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reactor: Reactor,
        prepared: Prepared,
        then: Callable[[Outcome], None],
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._reactor = reactor
        self._prepared = prepared
        self._then = then
        self._parser: ResponseParser | None = None  # of an answer that is not the one seen before
        self._fd = -1
        self.deadline_s = 0.0

    def begin(self, deadline_s: float) -> bool:
        """Whether the request could be sent. If not, the connection is closed."""
        self.deadline_s = deadline_s
        self._fd = self._reactor.wait(self._connection, self)
        try:
            if self._connection.send_nowait(traced(self._prepared.request)):
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
            if self._parser is None:
                head = self._prepared.recognise(data)
                if head is not None:
                    self._end(reusable=True)
                    self._then(head)
                    return
            answer = self._parse(data)
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

    def _end(self, *, reusable: bool) -> None:
        self._reactor.forget(self._fd)
        self._fd = -1
        if reusable:
            self._pool.release(self._connection)
        else:
            self._pool.discard(self._connection)

    def _parse(self, data: bytes) -> ObjectHead | Reply | None:
        """What the answer says; None while it is incomplete."""
        whole = data if self._parser is None else b""
        parser = self._parser = self._parser or ResponseParser(to_head=True)
        piece: bytes | None = data
        while piece is not None:
            if piece:
                parser.feed(piece)
            else:
                parser.feed_eof()
            if parser.head_complete:
                break
            piece, whole = self._connection.receive_nowait(), b""  # there is no second call for it
        else:
            return None
        self._end(reusable=parser.reusable)
        reply = Reply(parser.status, dict(parser.headers))
        if reply.status != 200:
            return reply
        try:
            head = object_head(reply)
        except UpstreamError:
            return reply
        if whole and parser.reusable:
            self._prepared.learn(whole, head)
        else:
            self._prepared.keep()
        return head
