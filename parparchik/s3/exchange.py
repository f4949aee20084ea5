"""One request and the head of its response, over one connection of a pool.

Two things make this more than sending and receiving. A kept connection may turn out to have been
closed by the server: then the request goes out once more, on a new one. And a server may answer
before it has read the whole request, to refuse an upload, say: so one task sends the body while
another reads, and when the answer is there first, sending ends. A small request, which the kernel
takes whole and at once, needs none of that: a task sends it and sleeps.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import httpx
import trio

from parparchik.s3.connection import Connection
from parparchik.s3.limit import UNLIMITED, TimeLimit
from parparchik.s3.pool import Pool
from parparchik.s3.reactor import Reactor
from parparchik.s3.receive import receive_head, receive_head_within
from parparchik.s3.request import RequestBody, flush_within, head_of, send_within
from parparchik.s3.response import ResponseParser

# Takes a connection and a parser for the answer; returns when the answer's head is complete.
Talk = Callable[[Connection, ResponseParser], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read_s` bounds the silence before and within a response, `write_s` one write."""

    connect_s: float = math.inf
    read_s: float = math.inf
    write_s: float = math.inf
    pool_s: float = math.inf

    @classmethod
    def of(cls, given: Mapping[str, float | None]) -> Timeouts:
        """As httpx words them."""
        return _timeouts(*map(given.get, ("connect", "read", "write", "pool")))


@lru_cache(maxsize=64)  # a few come again and again
def _timeouts(*seconds: float | None) -> Timeouts:
    return Timeouts(*(math.inf if each is None else each for each in seconds))


async def converse(
    pool: Pool,
    talk: Talk,
    *,
    to_head: bool,
    may_repeat: Callable[[], bool],
    timeouts: Timeouts,
    limit: TimeLimit = UNLIMITED,
) -> tuple[Connection, ResponseParser]:
    """`talk` over a connection of the pool, which the caller then releases or discards.

    When an idle connection turns out closed before any byte of an answer, the server has most
    likely never read the request: `talk` gets one new connection, if `may_repeat()`. Whatever
    else `talk` raises, a cancellation included, closes the connection.
    """
    fresh = False
    while True:
        connection = None if fresh else pool.acquire_nowait(trio.current_time())
        if connection is None:
            limit.begin()
            connection = await pool.acquire(
                connect_timeout_s=timeouts.connect_s, pool_timeout_s=timeouts.pool_s, fresh=fresh
            )
        parser = ResponseParser(to_head=to_head)
        try:
            await talk(connection, parser)
        except BaseException as error:
            pool.discard(connection)
            closed = not parser.started and isinstance(
                error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
            )
            if fresh or not closed or not connection.exchanges or not may_repeat():
                raise
            fresh = True
        else:
            return connection, parser


class Exchange:
    """The `talk` of one request: `first`, all of it or its head, and then `body`."""

    __slots__ = ("_body", "_first", "_limit", "_reactor", "_timeouts")

    def __init__(
        self,
        first: bytes,
        timeouts: Timeouts,
        reactor: Reactor | None = None,
        *,
        body: RequestBody | None = None,
        limit: TimeLimit = UNLIMITED,
    ) -> None:
        self._first = first
        self._body = body
        self._timeouts = timeouts
        self._reactor = reactor
        self._limit = limit

    @classmethod
    def of(
        cls, request: httpx.Request, timeouts: Timeouts, reactor: Reactor | None = None
    ) -> Exchange:
        """Raises httpx.LocalProtocolError."""
        head, body = head_of(request), RequestBody(request)
        whole = body.after(head)
        if whole is None:
            return cls(head, timeouts, reactor, body=body)
        return cls(whole, timeouts, reactor)

    @property
    def repeatable(self) -> bool:
        return self._body is None or self._body.repeatable

    async def talk(self, connection: Connection, parser: ResponseParser) -> None:
        """Raises httpx.TransportError, and what the body's own iteration raises."""
        write_s, read_s = self._timeouts.write_s, self._timeouts.read_s
        if self._body is None:
            await trio.lowlevel.checkpoint_if_cancelled()  # what nobody wants is not sent
            if connection.send_nowait(self._first):
                await receive_head_within(connection, parser, read_s, self._reactor, self._limit)
                return
            self._limit.begin()
            rest = partial(flush_within, connection, write_s)
        else:
            self._limit.begin()
            await send_within(connection, self._first, write_s)
            rest = partial(self._body.send, connection, write_s)
        reading = await self._talk_while(rest, connection, parser)
        if reading.cancelled_caught and not parser.head_complete:
            raise httpx.ReadTimeout(f"no response within {read_s:g} s")

    async def _talk_while(
        self,
        send_rest: Callable[[], Awaitable[None]],
        connection: Connection,
        parser: ResponseParser,
    ) -> trio.CancelScope:
        """Returns the scope of reading, whose time runs from the end of sending."""
        reading = trio.CancelScope()
        sent = False
        failure: Exception | None = None

        async def send() -> None:
            nonlocal sent, failure
            try:
                await send_rest()
                sent = True
            except httpx.WriteError:
                pass  # it may have answered before it closed: the reader will see
            except Exception as error:  # noqa: BLE001  raised outside of the nursery, below
                failure = error
                reading.cancel()
                return
            reading.deadline = trio.current_time() + self._timeouts.read_s

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                with reading:
                    await receive_head(connection, parser)
                    await trio.lowlevel.checkpoint()  # where sending is done, let it say so
            except httpx.TransportError as error:
                failure = failure or error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if not sent:
            parser.keep_alive = False
        return reading
