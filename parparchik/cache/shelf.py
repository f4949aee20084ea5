"""Where whole pieces are kept, memory over disk, and found again."""

from __future__ import annotations

import os

import trio

from parparchik.cache.alone import Alone
from parparchik.cache.background import Background
from parparchik.cache.counters import Counters
from parparchik.cache.generation import Entry, Generation
from parparchik.cache.memory import Memory
from parparchik.cache.piece import Piece
from parparchik.cache.pins import Pins
from parparchik.cache.tiers import Disk, OpenPiece, Record
from parparchik.config.model import CacheConfig
from parparchik.content import ObjectName, Representation


class Shelf:
    """`disk` None: memory alone. A piece that the disk is too busy for stays in memory for as long
    as there is room."""

    __slots__ = (
        "_background",
        "_counters",
        "_loading",
        "_object_bytes",
        "_saves",
        "alone",
        "disk",
        "memory",
        "pins",
    )

    def __init__(
        self,
        config: CacheConfig,
        memory: Memory,
        disk: Disk | None,
        background: Background,
        counters: Counters,
    ) -> None:
        self.memory = memory
        self.disk = disk
        self.pins = Pins()
        self.alone = Alone()
        self._object_bytes = config.memory_object_bytes
        self._background = background
        self._counters = counters
        self._saves = trio.Semaphore(config.max_fills)
        self._loading: dict[Generation, trio.Event] = {}

    def has(self, generation: Generation, index: int) -> bool:
        """Whether the whole piece is in memory or on disk."""
        piece = generation.pieces.get(index)
        return (piece is not None and piece.whole) or self.on_disk(generation, index)

    def has_all(self, generation: Generation) -> bool:
        return all(self.has(generation, index) for index in range(generation.count))

    def on_disk(self, generation: Generation, index: int) -> bool:
        disk = self.disk
        return disk is not None and disk.has(generation.piece_name(index), generation.identity)

    def touch(self, generation: Generation, piece: Piece) -> None:
        self.memory.touch(piece)
        self.memory.touch(generation.entry)

    async def keep(self, generation: Generation, piece: Piece) -> None:
        """A piece that is whole now. Waits where large pieces come faster than the disk is."""
        large = piece.size_bytes > self._object_bytes
        if self.disk is None or not large:
            self.memory.retain(generation, piece)
        if self.disk is None or not generation.current:
            return
        if not large and not self._saves.value:
            self._counters.unsaved += 1
            return
        piece.hold()
        try:
            await self._saves.acquire()
            try:
                self._background.start(self._save, self.disk, generation, piece)
            except BaseException:
                self._saves.release()
                raise
        except BaseException:
            piece.release()
            raise

    async def open(self, generation: Generation, index: int) -> OpenPiece | None:
        """The piece on disk."""
        if self.disk is None or not self.on_disk(generation, index):
            return None
        return await self.disk.open(generation.piece_name(index), generation.identity)

    def open_nowait(self, generation: Generation, index: int) -> OpenPiece | None:
        """The same where it need not be waited for."""
        if self.disk is None:
            return None
        return self.disk.open_nowait(generation.piece_name(index), generation.identity)

    def may_load(self, generation: Generation) -> bool:
        """Whether it is an object of one piece that is small enough for memory and on disk only."""
        if generation.count > 1 or generation.size_bytes > self._object_bytes:
            return False
        return 0 not in generation.pieces and self.on_disk(generation, 0)

    async def load(self, generation: Generation) -> None:
        """Have it in memory again, where it may be."""
        while self.may_load(generation):
            loading = self._loading.get(generation)
            if loading is None:
                await self._load(generation)
                return
            await loading.wait()
            if 0 not in generation.pieces:
                return  # nor would it be after another attempt

    def record(self, name: ObjectName, coding: str) -> Record | None:
        """What the disk knows of an object."""
        return self.disk.record(name, coding) if self.disk is not None else None

    def forget(self, name: ObjectName) -> None:
        """All of it, and what is on its way."""
        self.memory.forget(name)
        if self.disk is not None:
            self.disk.forget(name)

    def knows(self, name: ObjectName) -> bool:
        """Whether anything is known of it, but that there is none."""
        entry = self.memory.find(name)
        if entry is not None and (entry.generation is not None or entry.passing is not None):
            return True
        return self.record(name, "") is not None

    def confirm(self, generation: Generation, representation: Representation, at_s: float) -> None:
        """S3, asked at that time, has said that it is still this."""
        generation.confirm(representation, at_s)
        if self.disk is not None and generation.current:
            self.disk.confirm(generation.entry.name, generation.coding, generation.record)

    def replace(self, entry: Entry, generation: Generation | None) -> None:
        """Another generation is the current one, or none is known."""
        before, entry.generation = entry.generation, generation
        entry.passing = None
        if before is not None:
            self.memory.retire(before)
            # Also what is just being saved: it must not come after what is saved from now on.
            if self.disk is not None and entry.live:
                self.disk.forget(entry.name)
        if generation is not None:
            self.memory.charge(entry)

    def left(self, generation: Generation) -> None:
        """A reader has gone: the last takes the pieces of what is not current with it."""
        if not generation.readers and not generation.current:
            self.memory.retire(generation)

    async def _load(self, generation: Generation) -> None:
        loading = self._loading[generation] = trio.Event()
        try:
            opened = await self.open(generation, 0)
            if opened is None:
                return
            try:
                data = await trio.to_thread.run_sync(_read, opened)
            finally:
                opened.close()
            if 0 in generation.pieces or len(data) != generation.size_bytes:
                return
            piece = generation.begin(0)
            if data:
                piece.append(data)
            piece.finish()
            self.memory.retain(generation, piece)
            piece.release()
        finally:
            del self._loading[generation]
            loading.set()

    async def _save(self, disk: Disk, generation: Generation, piece: Piece) -> None:
        saved = False
        try:
            if generation.current:
                saved = await disk.save(
                    generation.piece_name(piece.index), generation.record, piece.blocks
                )
                self._counters.unsaved += not saved
            if not saved:
                self.memory.retain(generation, piece)
        finally:
            self._saves.release()
            piece.release()


def _read(opened: OpenPiece) -> bytes:
    data = b""
    while len(data) < opened.size_bytes:
        more = os.pread(opened.fd, opened.size_bytes - len(data), opened.offset + len(data))
        if not more:
            break
        data = data + more if data else more
    return data
