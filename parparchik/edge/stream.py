"""The bytes of one answer on their way to a socket that takes them as its client does."""

from __future__ import annotations

import errno
import math
import os
import select
import socket

import trio

from parparchik.edge.connection import Connection, State
from parparchik.edge.table import Table
from parparchik.errors import Truncated
from parparchik.model import Content, FileBlock

BITE_BYTES = 524_288
"""Of a file, before the other connections have their turn."""

HALF_CLOSED_S = 1.0
"""For the next block, when the client sends no more: it may have left, or be reading still."""

_GONE = select.EPOLLERR | select.EPOLLHUP
# Edge-triggered: told once each time, so that nothing need be changed for every wait.
_EVENTS = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
# What sendfile fails with for the file's sake.
_OF_FILES = frozenset({errno.EIO, errno.EBADF, errno.EINVAL, errno.ESTALE, errno.EOVERFLOW})


class Gone(Exception):
    """The client is, or takes nothing more."""


class Stream:
    """Writes one answer. `has_begun`: something of it may have been written; `is_done`: all of it
    has. `blocked`: the client has yet to take something. `body_bytes` of its body were written.

    `scope` is cancelled when the connection is closed.
    """

    def __init__(self, table: Table, connection: Connection) -> None:
        self.scope = trio.CancelScope()
        self.blocked = self.has_begun = self.is_done = False
        self._table = table
        self._connection = connection
        self._sock = connection.sock
        self._writable = trio.Event()
        self._reading = self._half_closed = False
        self._written = 0

    @property
    def body_bytes(self) -> int:
        return max(self._written, 0)

    def watch(self) -> None:
        """From now on epoll tells when the socket can be written to, and of the client's end."""
        self._table.watch(self._connection, _EVENTS)

    def notice(self, events: int) -> None:
        if events & _GONE:
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

    async def write(
        self,
        before: bytes,
        head: bytes,
        content: Content,
        length: int | None,
        *,
        chunked: bool = False,
    ) -> None:
        """Write `before`, `head` and the body of `length` bytes (None: as many as come), which may
        be `chunked` (RFC 9112 section 7.1). Raises Gone, Truncated, and what reading raises."""
        if before:
            await self._send(memoryview(before))
        block = await self._read(content)
        self.has_begun = True
        self._written = -len(head)
        views = [memoryview(head)]
        total = 0
        while block is not None:
            size = size_of(block)
            total += size
            if length is not None and total > length:
                raise Truncated("the body is longer than was announced")
            if chunked and size:  # of none would be the last
                views.append(self._frame(b"%x\r\n" % size))
            if isinstance(block, FileBlock):
                await self._send(*views, flags=socket.MSG_MORE)
                await self._send_file(block)
            else:
                await self._send(*views, memoryview(block).cast("B"))
            views = [self._frame(b"\r\n")] if chunked and size else []
            block = await self._read(content)
        if length is not None and total < length:
            raise Truncated("the body is shorter than was announced")
        if chunked:
            views.append(self._frame(b"0\r\n\r\n"))
        await self._send(*views)
        self.is_done = True

    def _frame(self, framing: bytes) -> memoryview:
        """Bytes that are none of the body's."""
        self._written -= len(framing)
        return memoryview(framing)

    async def _read(self, content: Content) -> bytes | memoryview | FileBlock | None:
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

    async def _send(self, *views: memoryview, flags: int = 0) -> None:
        left = [view for view in views if view]
        while left:
            try:
                sent = self._sock.sendmsg(left, [], flags)
            except BlockingIOError:
                await self._until_writable()
                continue
            except OSError:
                raise Gone from None
            self._got_on(sent)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]
                await trio.lowlevel.checkpoint()

    async def _send_file(self, block: FileBlock) -> None:
        position, end = block.offset, block.offset + block.size_bytes
        while position < end:
            bite = min(end - position, BITE_BYTES)
            try:
                sent = os.sendfile(self._sock.fileno(), block.fd, position, bite)
            except BlockingIOError:
                await self._until_writable()
                continue
            except OSError as error:
                if error.errno in _OF_FILES and self._connection.state is not State.CLOSED:
                    raise
                raise Gone from None
            if not sent:
                raise Truncated("the file ends before its block does")
            self._got_on(sent)
            position += sent
            if position < end:
                await trio.lowlevel.checkpoint()

    def _got_on(self, sent: int) -> None:
        self._written += sent
        self._connection.since_s = self._table.now_s

    async def _until_writable(self) -> None:
        self._writable = trio.Event()
        self.blocked = True
        self.watch()
        await self._writable.wait()
        self.blocked = False


def size_of(block: bytes | memoryview | FileBlock) -> int:
    if isinstance(block, FileBlock):
        return block.size_bytes
    return memoryview(block).nbytes
