"""An answer that is written by a task, since its body has to be waited for."""

from __future__ import annotations

import math
import select

import trio

from parparchik.edge.connection import GONE, Connection
from parparchik.edge.outgoing import Outgoing, Pushed
from parparchik.edge.table import Table
from parparchik.model import Block, Content

BITE_BYTES = 524_288
"""Of a file, before the other connections have their turn."""

HALF_CLOSED_S = 1.0
"""For the next block, when the client sends no more: it may have left, or be reading still."""

# Edge-triggered: told once each time, so that nothing need be changed for every wait.
_EVENTS = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Stream:
    """A connection's `Writing`. `scope` is cancelled when the connection is closed."""

    def __init__(self, table: Table, connection: Connection, out: Outgoing) -> None:
        self.scope = trio.CancelScope()
        self.blocked = False
        self._table = table
        self._connection = connection
        self._out = out
        self._writable = trio.Event()
        self._reading = self._half_closed = False

    def watch(self) -> None:
        """From now on epoll tells when the socket can be written to, and of the client's end."""
        self._table.watch(self._connection, _EVENTS)

    def notice(self, events: int) -> None:
        if events & GONE:
            self._table.close(self._connection)
            return
        if events & select.EPOLLRDHUP and not self._half_closed:
            self._half_closed = True
            self._limit()
        if events & select.EPOLLOUT:
            self._writable.set()
        self.watch()

    def end(self) -> None:
        self.scope.cancel()

    async def write(self, before: bytes, head: bytes, content: Content) -> None:
        """Write `before`, `head` and the body; or, where that has begun, the rest of it. Raises
        Gone, Truncated, and what reading raises."""
        out = self._out
        if not out.has_begun:
            out.say(before)
            await self._push()
            block = await self._read(content)
            out.begin(head)
        else:
            block = await self._read(content)
        while block is not None:
            out.add(block)
            await self._push()
            block = await self._read(content)
        out.end()
        await self._push()

    async def _read(self, content: Content) -> Block | None:
        self._reading = True
        self._limit()
        block = await content.read()
        self._reading = False
        self._limit()
        return block

    def _limit(self) -> None:
        limited = self._reading and self._half_closed
        deadline = trio.current_time() + HALF_CLOSED_S if limited else math.inf
        if deadline != self.scope.deadline:
            self.scope.deadline = deadline

    async def _push(self) -> None:
        while (pushed := self._out.push(BITE_BYTES)) is not Pushed.ALL:
            if pushed is Pushed.FULL:
                await self._until_writable()
            else:
                await trio.lowlevel.checkpoint()

    async def _until_writable(self) -> None:
        self._writable = trio.Event()
        self.blocked = True
        self.watch()
        await self._writable.wait()
        self.blocked = False
