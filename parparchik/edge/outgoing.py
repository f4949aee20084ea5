"""The bytes of one answer on their way to a socket that does not block."""

from __future__ import annotations

import errno
import os
import socket
from enum import Enum

from parparchik.edge.connection import Connection, State
from parparchik.edge.table import Table
from parparchik.errors import Truncated
from parparchik.model import Block, FileBlock

# What sendfile fails with for the file's sake.
_OF_FILES = frozenset({errno.EIO, errno.EBADF, errno.EINVAL, errno.ESTALE, errno.EOVERFLOW})


class Gone(Exception):
    """The client is, or takes nothing more."""


class Pushed(Enum):
    """What has become of that which was to be written. FULL: the socket takes nothing."""

    ALL = "all"
    PART = "part"
    FULL = "full"


class Outgoing:
    """Writes what it is given. `length` is what was announced of the body, None where nothing was;
    with `chunked` it goes in chunks (RFC 9112 section 7.1).

    `has_begun`: something of the answer may have been written; `ended`: nothing more is added to
    it; `is_done`: all of it has been written. `sent_bytes` counts whatever was.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_fd",
        "_file_bytes",
        "_framing_bytes",
        "_length",
        "_position",
        "_sendmsg",
        "_socket_fd",
        "_table",
        "_total",
        "_views",
        "ended",
        "has_begun",
        "sent_bytes",
    )

    def __init__(
        self, table: Table, connection: Connection, length: int | None, *, chunked: bool
    ) -> None:
        self.has_begun = self.ended = False
        self.sent_bytes = 0
        self._table = table
        self._connection = connection
        self._sendmsg = connection.sock.sendmsg
        self._socket_fd = connection.fd
        self._length = length
        self._chunked = chunked
        self._total = 0
        self._framing_bytes = 0  # of all that was added, what is none of the body
        self._views: list[memoryview] = []
        self._fd = self._position = self._file_bytes = 0  # the file, behind the views

    @property
    def body_bytes(self) -> int:
        """How much of the body was written."""
        return max(self.sent_bytes - self._framing_bytes, 0)

    @property
    def waits(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._views or self._file_bytes)

    @property
    def is_done(self) -> bool:
        return self.ended and not self.waits

    def say(self, framing: bytes) -> None:
        """Add bytes that are none of the body's."""
        if framing:
            self._framing_bytes += len(framing)
            self._views.append(memoryview(framing))

    def begin(self, head: bytes) -> None:
        self.has_begun = True
        self.say(head)

    def add(self, block: Block) -> None:
        """The next block of the body, when all that was added before has been written. Raises
        Truncated for more than was announced."""
        size = size_of(block)
        self._total += size
        if self._length is not None and self._total > self._length:
            raise Truncated("the body is longer than was announced")
        if not size:  # a chunk of none would be the last
            return
        if self._chunked:
            before = b"%x\r\n" if self._total == size else b"\r\n%x\r\n"
            self.say(before % size)
        if isinstance(block, FileBlock):
            self._fd, self._position, self._file_bytes = block.fd, block.offset, size
        else:
            self._views.append(memoryview(block).cast("B"))

    def end(self) -> None:
        """That was all. Raises Truncated for less than was announced."""
        if self._length is not None and self._total < self._length:
            raise Truncated("the body is shorter than was announced")
        if self._chunked:
            self.say(b"\r\n0\r\n\r\n" if self._total else b"0\r\n\r\n")
        self.ended = True

    def push(self, most_bytes: int) -> Pushed:
        """Write what there is to be written, of a file no more than `most_bytes`. Raises Gone, and
        for the file's sake OSError and Truncated."""
        while self._views:
            try:
                # What follows goes with it, as far as it has room in a packet.
                flags = socket.MSG_MORE if self._file_bytes else 0
                sent = self._sendmsg(self._views, [], flags)
            except BlockingIOError:
                return Pushed.FULL
            except OSError:
                raise Gone from None
            self._got_on(sent)
            if self._drop(sent):
                return Pushed.PART
        return self._push_file(most_bytes) if self._file_bytes else Pushed.ALL

    def _push_file(self, most_bytes: int) -> Pushed:
        bite = min(self._file_bytes, most_bytes)
        try:
            sent = os.sendfile(self._socket_fd, self._fd, self._position, bite)
        except BlockingIOError:
            return Pushed.FULL
        except OSError as error:
            if error.errno in _OF_FILES and self._connection.state is not State.CLOSED:
                raise
            raise Gone from None
        if not sent:
            raise Truncated("the file ends before its block does")
        self._got_on(sent)
        self._position += sent
        self._file_bytes -= sent
        return Pushed.PART if self._file_bytes else Pushed.ALL

    def _drop(self, sent: int) -> bool:
        """What was written of the views; whether something is left of them."""
        views = self._views
        while views and sent >= len(views[0]):
            sent -= len(views.pop(0))
        if views:
            views[0] = views[0][sent:]
        return bool(views)

    def _got_on(self, sent: int) -> None:
        self.sent_bytes += sent
        self._connection.since_s = self._table.now_s


def size_of(block: Block) -> int:
    if isinstance(block, FileBlock):
        return block.size_bytes
    return memoryview(block).nbytes
