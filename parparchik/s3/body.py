"""The body of a response, read from its connection as it is asked for."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import httpx
import trio

from parparchik.s3.connection import BODY_RECEIVE_BYTES, RECEIVE_BYTES, Connection
from parparchik.s3.pool import Pool
from parparchik.s3.receive import receive_within
from parparchik.s3.response import ResponseParser

PROMPT_S = 0.25
"""Who comes back sooner is given much at a time; who is slow keeps little of it in memory."""

BODY = "parparchik.body"  # the extension of an httpx.Response that is its ResponseBody


class ResponseBody(httpx.AsyncByteStream):
    """What remains to be read of a response. Who stops asking stops the server.

    The connection goes back to the pool when its last byte has come, and is closed when the body
    is left before. Beside what httpx wants there is `read`: large objects pay for no iterators.
    """

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        parser: ResponseParser,
        *,
        read_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self._parser = parser
        self._read_timeout_s = read_timeout_s
        self._given_s = -math.inf  # when something was, last

    @property
    def status(self) -> int:
        return self._parser.status

    @property
    def reason(self) -> bytes:
        return self._parser.reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Of the response; names in lower case."""
        return self._parser.headers

    @property
    def is_here(self) -> bool:
        """Whether `read` will not have to wait for anything."""
        return self._connection is None

    async def read(self) -> bytes:
        """The next piece, b'' at the end or after `drop`. Raises httpx.TransportError."""
        while True:
            pieces = self._parser.take_body()
            if pieces:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._connection is None:
                return b""
            prompt = trio.current_time() - self._given_s < PROMPT_S
            most = BODY_RECEIVE_BYTES if prompt else RECEIVE_BYTES
            try:
                await receive_within(self._connection, self._parser, self._read_timeout_s, most)
            except BaseException:
                self.drop()
                raise
            self.settle()
            self._given_s = trio.current_time()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    def settle(self) -> None:
        """Part with the connection once the whole response is here."""
        if self._connection is not None and self._parser.complete:
            if self._parser.reusable:
                self._pool.release(self._connection)
            else:
                self._pool.discard(self._connection)
            self._connection = None

    async def aclose(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Nothing more is wanted."""
        if self._connection is not None:
            self._pool.discard(self._connection)
            self._connection = None
