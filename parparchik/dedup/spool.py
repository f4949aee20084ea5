"""Where an upload waits until it is known what it is: in memory, or, where it is large, on disk.

Both are bounded for all uploads together. What does not fit into memory goes to a file without a
name, which is gone with the process whatever ends it; what does not fit on the disk is refused.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog
import trio

from parparchik.errors import Overloaded, TooLarge

_READ_BYTES = 256 * 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`memory_bytes` of one upload are kept in memory, as long as all of them together need no more
    than `memory_budget_bytes`; on disk all together may need `disk_budget_bytes`. `directory`: None
    for the system's own."""

    memory_bytes: int = 1 << 20
    memory_budget_bytes: int = 32 << 20
    disk_budget_bytes: int = 8 << 30
    directory: Path | None = None


class Spools:
    """`memory_used_bytes` and `disk_used_bytes` are what all spools hold now; `refused` counts
    uploads that did not fit."""

    def __init__(self, limits: SpoolLimits) -> None:
        self.limits = limits
        self.memory_used_bytes = 0
        self.disk_used_bytes = 0
        self.refused = 0

    def spool(self, *, has_another_way: bool = False) -> Spool:
        """To be closed by whoever asked for it; who `has_another_way` might do without it at
        another time."""
        return Spool(self, has_another_way=has_another_way)

    def hold(self, size_bytes: int) -> bool:
        """Count what somebody else keeps in memory, if there is room, until `let_go`."""
        if self.memory_used_bytes + size_bytes > self.limits.memory_budget_bytes:
            return False
        self.memory_used_bytes += size_bytes
        return True

    def let_go(self, size_bytes: int) -> None:
        self.memory_used_bytes -= size_bytes


class Spool:
    """Written once, then read as often as it takes."""

    def __init__(self, spools: Spools, *, has_another_way: bool) -> None:
        self._spools = spools
        self._has_another_way = has_another_way
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._buffer: memoryview | None = None
        self._closed = False
        self.size_bytes = 0

    @property
    def is_in_memory(self) -> bool:
        return self._file is None

    async def write(self, piece: bytes) -> None:
        """Raises Overloaded when there is no room, TooLarge when there never will be."""
        if self._file is None and self._fits_in_memory(len(piece)):
            self._memory += piece
            self._spools.memory_used_bytes += len(piece)
            self.size_bytes += len(piece)
            return
        if self._file is None:
            self._file = await self._move_to_disk()
        self._reserve(len(piece))
        self.size_bytes += len(piece)
        await _append(self._file, piece)

    def upload(self) -> SpoolUpload:
        """All of it, from the beginning."""
        return SpoolUpload(self)

    async def read(self, at: int) -> bytes:
        """What begins there, or b''. By one reader at a time."""
        if self._file is None:
            return bytes(self._memory[at : at + _READ_BYTES])
        # What a thread allocates is taken from a heap of its own. It is the same thread rarely, and
        # the heaps of all of them would grow to what a few parts of an upload need.
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_READ_BYTES))
        into = [self._buffer]
        try:
            count = await trio.to_thread.run_sync(os.preadv, self._file.fileno(), into, at)
        except OSError as error:
            raise _broken(error) from error
        return bytes(self._buffer[:count])

    async def aclose(self) -> None:
        """Also when cancelled, and when called twice."""
        if self._closed:
            return
        self._closed = True
        if self._file is None:
            self._forget_memory()
            return
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._file.close)  # a large file takes a while to go
        self._spools.disk_used_bytes -= self.size_bytes

    def _fits_in_memory(self, more: int) -> bool:
        limits = self._spools.limits
        return (
            self.size_bytes + more <= limits.memory_bytes
            and self._spools.memory_used_bytes + more <= limits.memory_budget_bytes
        )

    async def _move_to_disk(self) -> IO[bytes]:
        """What is written so far. Until there is a file, `size_bytes` counts as memory; then it
        counts as disk."""
        self._reserve(self.size_bytes)
        file: IO[bytes] | None = None
        try:
            file = await trio.to_thread.run_sync(_open_file, self._spools.limits.directory)
            await trio.to_thread.run_sync(_write, file, bytes(self._memory))
        except BaseException as error:
            self._spools.disk_used_bytes -= self.size_bytes
            if file is not None:
                file.close()
            if isinstance(error, OSError):
                raise _broken(error) from error
            raise
        self._forget_memory()
        return file

    def _reserve(self, more: int) -> None:
        spools, budget_bytes = self._spools, self._spools.limits.disk_budget_bytes
        mine_bytes = more if self._file is None else self.size_bytes + more
        # Be it alone: to come again would not help.
        if mine_bytes > budget_bytes and not self._has_another_way:
            spools.refused += 1
            raise TooLarge(
                f"an upload that has to wait on disk may have {budget_bytes} bytes: with"
                " SHA256-Checksum and Logical-Size it does not have to"
            )
        if spools.disk_used_bytes + more > budget_bytes:
            spools.refused += 1
            raise Overloaded("there is no room for more uploads just now")
        spools.disk_used_bytes += more

    def _forget_memory(self) -> None:
        self._spools.memory_used_bytes -= len(self._memory)
        self._memory = bytearray()


class SpoolUpload:
    """`model.Upload` of a spool that is written to its end."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._at = 0

    @property
    def size_bytes(self) -> int:
        return self._spool.size_bytes

    async def read(self) -> bytes:
        piece = await self._spool.read(self._at)
        self._at += len(piece)
        return piece


def _open_file(directory: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="parparchik-", dir=directory, buffering=0)


async def _append(file: IO[bytes], piece: bytes) -> None:
    try:
        await trio.to_thread.run_sync(_write, file, piece)
    except OSError as error:
        raise _broken(error) from error


def _write(file: IO[bytes], piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]


def _broken(error: OSError) -> Overloaded:
    """What is wrong with our disk is the operator's to know, not the client's."""
    _log.error("uploads cannot be spooled", reason=str(error))
    return Overloaded("there is no room for uploads just now")
