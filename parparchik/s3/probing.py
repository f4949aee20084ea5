"""One HEAD under way that no task waits for (`unattended`).

An answer that is recognised (see `prepared`) is not parsed; any other is, in earnest.
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
from parparchik.s3.unattended import Unattended

# What S3 says of an object; or its answer, if that is of another kind; or why there is none; or
# None, if the connection had been closed before S3 can have read the request.
Outcome = ObjectHead | Reply | httpx.TransportError | None


class Probe(Unattended[ObjectHead | Reply]):
    """One HEAD; `prepared` learns from its answer."""

    __slots__ = ("_prepared",)

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reactor: Reactor,
        prepared: Prepared,
        then: Callable[[Outcome], None],
    ) -> None:
        super().__init__(pool, connection, reactor, then)
        self._prepared = prepared

    def send(self, *, now_s: float, timeout_s: float) -> bool:
        """`begin` with the prepared request."""
        request = traced(self._prepared.request)
        return self.begin(request, now_s=now_s, timeout_s=timeout_s)

    def _take(self, data: bytes) -> ObjectHead | Reply | None:
        if self._parser is None:
            head = self._prepared.recognise(data)
            if head is not None:
                self._end(reusable=True)
                return head
        return self._parse(data)

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
