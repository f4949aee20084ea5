"""A body, read by one client at its own pace from pieces that are everybody's."""

from __future__ import annotations

from parparchik.cache.counters import Counters
from parparchik.cache.generation import Generation
from parparchik.cache.piece import Piece
from parparchik.cache.shelf import Shelf
from parparchik.cache.tiers import OpenPiece
from parparchik.content import Span
from parparchik.model import Block, FileBlock

READ_BYTES = 1 << 20
"""No block of bytes is larger, and no reader holds more of what memory has let go of."""


class Reader:
    """The bytes of a span within a generation.

    A piece comes from memory, whole or as it grows; else from disk; else it is filled. A piece
    that the reader had begun with and that is nowhere any more is not filled again for its sake,
    lest a slow reader had S3 send a piece for each block of it: it is fetched by the block.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_block",
        "_block_at",
        "_counters",
        "_end",
        "_file",
        "_generation",
        "_open",
        "_pinned",
        "_shelf",
        "index",
        "last_index",
    )

    def __init__(
        self, generation: Generation, span: Span, shelf: Shelf, counters: Counters
    ) -> None:
        self._generation = generation
        self._shelf = shelf
        self._counters = counters
        self._at = span.first
        self._end = min(span.last + 1, generation.size_bytes)
        self.index = span.first // generation.slice_bytes
        self.last_index = max(self._end - 1, 0) // generation.slice_bytes
        self._begun = -1  # the piece that it has had something of
        self._block = b""  # what is at hand, and where that begins
        self._block_at = 0
        self._file: OpenPiece | None = None
        self._pinned: tuple[Piece, ...] = ()
        self._open = self._at < self._end
        if self._open:
            generation.readers.add(self)
            generation.moved()
            if generation.source is not None:
                self._pinned = shelf.pins.hold(generation.pieces.values())
            self._look()  # what is in memory now does not get lost before the first read

    async def read(self) -> Block | None:
        self._part_with_file()
        if not self._open or self._at >= self._end:
            return None
        while True:
            offset = self._at - self._block_at
            if 0 <= offset < len(self._block):
                size = min(len(self._block) - offset, self._end - self._at, READ_BYTES)
                self._went(size)
                if size == len(self._block):
                    return self._block
                return memoryview(self._block)[offset : offset + size]
            self._move()
            if not self._look():
                opened = await self._more()
                if opened is not None:
                    return opened

    def close(self) -> None:
        self._part_with_file()
        self._block = b""
        if self._open:
            self._open = False
            self._generation.readers.discard(self)
            self._generation.moved()
            self._shelf.pins.let_go(self._pinned)
            self._pinned = ()
            self._shelf.left(self._generation)

    def _went(self, size_bytes: int) -> None:
        self._at += size_bytes
        self._counters.read_bytes += size_bytes

    def _move(self) -> None:
        index = self._at // self._generation.slice_bytes
        if index != self.index:
            self.index = index
            self._generation.moved()

    def _look(self) -> bool:
        """Whether the next block is in memory: then it is at hand."""
        generation = self._generation
        piece = generation.pieces.get(self.index)
        if piece is None:
            return False
        self._begun = self.index
        begin = self.index * generation.slice_bytes
        found = piece.block_at(self._at - begin)
        if found is None:
            return False
        start, self._block = found
        self._block_at = begin + start
        self._shelf.touch(generation, piece)
        return True

    async def _more(self) -> FileBlock | None:
        """Wait for what is not in memory; a part of a file, where it comes as that."""
        generation = self._generation
        piece = generation.pieces.get(self.index)
        if piece is not None:
            await piece.grown()
            return None
        opened = await self._shelf.open(generation, self.index)
        if opened is not None:
            return self._from_file(opened)
        if self.index in generation.pieces:
            return None
        if self._begun == self.index:
            last = min(self._at + READ_BYTES, self._end) - 1
            piece_end = generation.span_of(self.index).last
            span = Span(self._at, min(last, piece_end))
            self._block = await generation.supply.fetch(generation, span)
            self._block_at = span.first
            return None
        fill = generation.filling(self.index)
        if fill is None:
            fill = generation.supply.begin(generation, self.index, self.last_index)
        await fill.turn()
        return None

    def _from_file(self, opened: OpenPiece) -> FileBlock:
        self._file = opened
        self._begun = self.index
        self._shelf.memory.touch(self._generation.entry)
        offset = self._at - self.index * self._generation.slice_bytes
        size = min(opened.size_bytes - offset, self._end - self._at)
        self._went(size)
        return FileBlock(opened.fd, opened.offset + offset, size)

    def _part_with_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
