"""How a piece comes to disk: room is reserved, the bytes are written to a file in `tmp/` by one of
several threads, and the file is given its name by the lane that all names go by.

A save goes on when whoever asked for it has left: its bytes are there and its room is reserved.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

import structlog
import trio

from parparchik.cache.disk import files
from parparchik.cache.disk.arrival import Arrival
from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.format import (
    TRAILER_BYTES,
    cost_bytes,
    file_name,
    footer,
    piece_bytes,
    same_generation,
)
from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.disk.removal import Discard, Removal
from parparchik.cache.disk.statistics import Counts
from parparchik.cache.disk.trouble import Trouble
from parparchik.cache.tiers import PieceName, Record
from parparchik.content import ObjectName

WRITERS = 4
"""Threads that write: while one waits for the disk, another computes hashes."""

BATCH_BYTES = 1 << 20
"""So much goes in one hop to a thread, where so much waits."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

log = structlog.get_logger(__name__)


class Saving:
    """One piece on its way. `again`: the disk was full, and it is tried once more. `arriving`: it
    is written, and the ledger's (an Arrival)."""

    __slots__ = (
        *("_saver", "again", "arriving", "blocks", "cost_bytes", "data_bytes", "done", "footer"),
        *("forgotten", "heir", "kept", "name", "piece", "record", "replaces", "size_bytes", "tmp"),
    )

    def __init__(
        self, saver: Saver, piece: PieceName, record: Record, blocks: Sequence[bytes], footer: bytes
    ) -> None:
        self._saver = saver
        self.piece = piece
        self.record = record
        self.blocks = blocks
        self.footer = footer
        self.name = file_name(piece)
        self.tmp = ""
        self.data_bytes = sum(map(len, blocks))
        self.size_bytes = self.data_bytes + len(footer) + TRAILER_BYTES
        self.cost_bytes = cost_bytes(self.size_bytes)
        self.replaces: list[Removal] = []
        self.heir: Arrival | None = None
        self.arriving = False
        self.again = False
        self.forgotten = False
        self.kept = False
        self.done = trio.Event()

    def do(self) -> None:
        if not self.forgotten:
            files.write(self.tmp, self.blocks, self.footer)

    def finish(self, error: Exception | None) -> None:
        self._saver.written(self, error)


class Naming:
    """The last step of a save."""

    __slots__ = ("_path", "_saver", "_saving", "size_bytes")

    def __init__(self, saver: Saver, saving: Saving, path: str) -> None:
        self.size_bytes = 0
        self._saver = saver
        self._saving = saving
        self._path = path

    def do(self) -> None:
        files.rename(self._saving.tmp, self._path)

    def finish(self, error: Exception | None) -> None:
        self._saver.named(self._saving, error)


class Again:
    """A save that found the disk full, behind the files that are deleted for its sake."""

    __slots__ = ("_saver", "_saving", "size_bytes")

    def __init__(self, saver: Saver, saving: Saving) -> None:
        self.size_bytes = 0
        self._saver = saver
        self._saving = saving

    def do(self) -> None:
        """They are gone when it is its turn."""

    def finish(self, error: Exception | None) -> None:
        self._saver.lane.put(self._saving)


class Saver:
    """`names` is the lane that names are given and taken by. Nothing is saved before `ready`: how
    much room there is must be known."""

    def __init__(
        self, directory: Directory, ledger: Ledger, names: Lane, counts: Counts, run: str
    ) -> None:
        self.ready = trio.Event()
        self.writing = Trouble("keeping nothing new", directory.path)
        self.lane = Lane(WRITERS, BATCH_BYTES)
        self._directory = directory
        self._ledger = ledger
        self._names = names
        self._counts = counts
        self._run = run
        self._under_way: dict[ObjectName, list[Saving]] = {}
        self._number = 0
        self._stopped = False

    async def save(self, piece: PieceName, record: Record, blocks: Sequence[bytes]) -> bool:
        same = self._find(piece, record)
        if same is not None:
            await same.done.wait()
            return same.kept
        if self._ledger.index.find(piece, record) is not None:
            self._ledger.index.confirm(piece.name, piece.coding, record)
            return True
        saving = self._begin(piece, record, blocks)
        if saving is None or not self.writing.admits():
            self._counts.refused += 1
            return False
        self._under_way.setdefault(piece.name, []).append(saving)
        try:
            put = await self._put(saving)
        except BaseException:
            self._end(saving)
            raise
        if put:
            await saving.done.wait()
        else:
            self._end(saving)
        return saving.kept

    def forget(self, name: ObjectName) -> None:
        """What is being saved of it is not to be kept."""
        for saving in self._under_way.get(name, ()):
            if saving.arriving:
                self._ledger.forget_arriving(saving)
            saving.forgotten = True

    def names_below(self, bucket: str, prefix: str) -> Iterator[ObjectName]:
        for name in self._under_way:
            if name.bucket == bucket and name.key.startswith(prefix):
                yield name

    def stop(self) -> None:
        """Nothing is written any more, and nobody is left waiting. The lane has ended."""
        self._stopped = True
        self.ready.set()
        for savings in list(self._under_way.values()):
            for saving in list(savings):
                saving.done.set()

    def _find(self, piece: PieceName, record: Record) -> Saving | None:
        for saving in self._under_way.get(piece.name, ()):
            wanted = saving.piece == piece and same_generation(saving.record, record)
            if wanted and not saving.forgotten and saving.heir is None:
                return saving
        return None

    @property
    def number(self) -> int:
        """How many saves have begun."""
        return self._number

    def _begin(self, piece: PieceName, record: Record, blocks: Sequence[bytes]) -> Saving | None:
        number = self._number + 1
        try:
            saving = Saving(self, piece, record, blocks, footer(piece, record, self._run, number))
        except ValueError as error:
            log.warning("disk cache: piece not kept", reason=str(error))
            return None
        if saving.data_bytes != piece_bytes(record, piece.number):
            log.error("disk cache: piece not kept", reason="not as long as it has to be")
            return None
        self._number = number
        saving.tmp = f"{self._directory.tmp}/{self._run}-{number}"
        return saving

    async def _put(self, saving: Saving) -> bool:
        """Reserve room and have it written; False: it will not be."""
        await self.ready.wait()
        if saving.forgotten or self._stopped:
            return False
        if not self._ledger.reserve(saving.cost_bytes):
            self._counts.refused += 1
            return False
        try:
            await self._ledger.space.wait()
        except BaseException:
            self._ledger.space.release(saving.cost_bytes)
            raise
        if saving.forgotten or self._stopped:
            self._ledger.space.release(saving.cost_bytes)
            return False
        self.lane.put(saving)
        return True

    def written(self, saving: Saving, error: Exception | None) -> None:
        if _is_full(error) and not saving.again and self._ledger.make_way(saving.cost_bytes):
            saving.again = True
            self._names.put(Again(self, saving))
            return
        saving.blocks = ()
        if error is not None:
            self.writing.failed(error)
            self._ledger.space.release(saving.cost_bytes)
            self._end(saving)
        elif saving.forgotten:
            self._ledger.discard(saving.tmp, saving.cost_bytes)
            self._end(saving)
        else:
            saving.arriving = True
            self._ledger.arrive(saving)
            self._names.put(Naming(self, saving, self._directory.file(saving.name)))

    def named(self, saving: Saving, error: Exception | None) -> None:
        saving.kept = self._ledger.arrived(saving, named=error is None)
        if error is not None:
            self.writing.failed(error)
            self._names.put(Discard(saving.tmp, -1, 0, lambda: None))
        else:
            self._ledger.retry_stuck()
            self.writing.succeeded()
        if saving.kept:
            self._counts.saves += 1
            self._counts.saved_bytes += saving.data_bytes
        self._end(saving)

    def _end(self, saving: Saving) -> None:
        self._counts.forgotten_saves += saving.forgotten
        saving.done.set()
        savings = self._under_way.get(saving.piece.name, [])
        if saving in savings:
            savings.remove(saving)
            if not savings:
                del self._under_way[saving.piece.name]


def _is_full(error: Exception | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL
