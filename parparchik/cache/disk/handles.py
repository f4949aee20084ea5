"""Open files of pieces, one for all readers of a piece. No I/O but closing.

A file stays open for a while after its last reader has left: the next one comes without a thread.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parparchik.cache.disk.index import Entry
    from parparchik.cache.disk.removal import Removal

IDLE_MAX = 256
"""Files that are kept open without a reader. Those with one are as many as there are readers."""


class Handle:
    """`removal` is there once the piece was removed."""

    __slots__ = ("entry", "fd", "readers", "removal")

    def __init__(self, entry: Entry, fd: int) -> None:
        self.entry = entry
        self.fd = fd
        self.readers = 0
        self.removal: Removal | None = None


class OpenFile:
    """An OpenPiece: its fd is shared, so that only reads that name their position may use it."""

    __slots__ = ("_handle", "_handles", "fd", "offset", "size_bytes")

    def __init__(self, handles: Handles, handle: Handle) -> None:
        self.fd = handle.fd
        self.offset = 0
        self.size_bytes = handle.entry.data_bytes
        self._handles = handles
        self._handle: Handle | None = handle

    def close(self) -> None:
        """Safe when called twice."""
        if self._handle is not None:
            self._handles.leave(self._handle)
            self._handle = None


class Handles:
    """`on_unread` is told when a removed piece has no reader (any more): its file is closed
    elsewhere, since freeing its blocks may take a while."""

    __slots__ = ("_idle", "_idle_max", "_on_unread", "in_use")

    def __init__(
        self, on_unread: Callable[[Handle, Removal], None], idle_max: int = IDLE_MAX
    ) -> None:
        self.in_use = 0
        self._idle: OrderedDict[Handle, None] = OrderedDict()
        self._idle_max = idle_max
        self._on_unread = on_unread

    @property
    def idle(self) -> int:
        return len(self._idle)

    def take(self, handle: Handle) -> OpenFile:
        """One more reader."""
        if not handle.readers:
            self._idle.pop(handle, None)
            self.in_use += 1
        handle.readers += 1
        return OpenFile(self, handle)

    def leave(self, handle: Handle) -> None:
        handle.readers -= 1
        if handle.readers:
            return
        self.in_use -= 1
        if handle.removal is not None:
            self._on_unread(handle, handle.removal)
            return
        self._idle[handle] = None
        while len(self._idle) > self._idle_max:
            self._close(self._idle.popitem(last=False)[0])

    def forsake(self, handle: Handle, removal: Removal) -> None:
        """The piece was removed: the file is closed once nobody reads it."""
        handle.entry.handle = None
        handle.removal = removal
        if not handle.readers:
            del self._idle[handle]
            self._on_unread(handle, removal)

    def close_idle(self) -> None:
        """Close what nobody reads, and from now on what nobody reads any more."""
        self._idle_max = 0
        while self._idle:
            self._close(self._idle.popitem()[0])

    @staticmethod
    def _close(handle: Handle) -> None:
        # Its name still holds the file: nothing is freed, so this takes no time.
        handle.entry.handle = None
        os.close(handle.fd)
