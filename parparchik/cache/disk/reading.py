"""How a piece is read: its file is opened once for all who read it at a time, in a thread where
that may wait for the disk."""

from __future__ import annotations

import errno
from functools import partial

import trio

from parparchik.cache.disk import files
from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.format import Unreadable
from parparchik.cache.disk.handles import Handle, OpenFile
from parparchik.cache.disk.index import Entry
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.disk.statistics import Counts
from parparchik.cache.disk.trouble import Trouble
from parparchik.cache.tiers import PieceName, Record

# The process is at its limits; the file is what it was.
_NOT_THE_FILE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Reader:
    __slots__ = ("_counts", "_directory", "_ledger", "_limiter", "_opening", "trouble")

    def __init__(
        self, directory: Directory, ledger: Ledger, counts: Counts, limiter: trio.CapacityLimiter
    ) -> None:
        self.trouble = Trouble("pieces not readable", directory.path)
        self._directory = directory
        self._ledger = ledger
        self._counts = counts
        self._limiter = limiter
        self._opening: dict[Entry, trio.Event] = {}

    def open_nowait(self, piece: PieceName, record: Record) -> OpenFile | None:
        """The piece where its file is open already, or can be opened without a thread."""
        entry = self._ledger.index.find(piece, record)
        if entry is None:
            return None
        handle = entry.handle or self._open_nowait(entry, piece, record)
        return None if handle is None else self._take(entry, handle)

    async def open(self, piece: PieceName, record: Record) -> OpenFile | None:
        while True:
            entry = self._ledger.index.find(piece, record)
            if entry is None:
                return None
            if entry.handle is not None:
                return self._take(entry, entry.handle)
            under_way = self._opening.get(entry)
            if under_way is None:
                return await self._open(entry, piece, record)
            await under_way.wait()

    def _open_nowait(self, entry: Entry, piece: PieceName, record: Record) -> Handle | None:
        """A thread would cost more than this does, which only looks at what is in memory: the file
        was written or opened before by this process, so its name is known to the kernel, and its
        end is read only where that is cached. What follows, a sendfile, does no less."""
        if not entry.checked or entry in self._opening:
            return None
        try:
            fd = files.open_piece_nowait(self._directory.file(entry.file_name), piece, record)
        except BlockingIOError:
            return None
        except (Unreadable, OSError) as error:
            self._not_opened(entry, error)
            return None
        self.trouble.succeeded()
        handle = entry.handle = Handle(entry, fd)
        return handle

    def _take(self, entry: Entry, handle: Handle) -> OpenFile:
        self._counts.opens += 1
        touch_s = self._ledger.use(entry)
        if touch_s is not None:
            self._ledger.touch(entry, touch_s)
        return self._ledger.handles.take(handle)

    async def _open(self, entry: Entry, piece: PieceName, record: Record) -> OpenFile | None:
        ledger = self._ledger
        path = self._directory.file(entry.file_name)
        open_file = partial(
            files.open_piece,
            *(path, piece, record),
            check=not entry.checked,
            touch_s=ledger.use(entry),
        )
        self._opening[entry] = trio.Event()
        try:
            fd = await trio.to_thread.run_sync(open_file, limiter=self._limiter)
        except (Unreadable, OSError) as error:
            self._not_opened(entry, error)
            return None
        finally:
            self._opening.pop(entry).set()
        if not entry.indexed:  # removed meanwhile
            ledger.close(fd)
            return None
        self.trouble.succeeded()
        self._counts.opens += 1
        entry.checked = True
        entry.handle = Handle(entry, fd)
        return ledger.handles.take(entry.handle)

    def _not_opened(self, entry: Entry, error: Unreadable | OSError) -> None:
        if not entry.indexed:  # removed meanwhile: it is none of its faults
            return
        if isinstance(error, Unreadable):
            self._counts.corrupt += 1
        self.trouble.failed(error)
        if not (isinstance(error, OSError) and error.errno in _NOT_THE_FILE):
            self._ledger.drop(entry)
