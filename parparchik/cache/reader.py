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
        "_alone_bytes",
        "_at",
        "_begun",
        "_block",
        "_block_at",
        "_counters",
        "_end",
        "_file",
        "_generation",
        "_next_file",
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
        self._alone_bytes = 0  # of a block that nobody else has
        self._file: OpenPiece | None = None  # of which the last block was part
        self._next_file: OpenPiece | None = None  # of which the next one will be
        self._pinned: tuple[Piece, ...] = ()
        self._open = self._at < self._end
        if self._open:
            generation.readers.add(self)
            generation.moved()
            if generation.source is not None:
                self._pinned = shelf.pins.hold(generation.pieces.values())
            self._look()  # what is in memory now does not get lost before the first read

    def begin_nowait(self) -> bool:
        """Whether the first block is at hand: then it stays so."""
        return self._has_block() or self._look() or self._open_nowait() is not None

    def read_nowait(self) -> Block | None:
        self._part_with_file()
        if not self._open or self._at >= self._end:
            return None
        if not self._has_block():
            self._move()
            if not self._look():
                opened = self._open_nowait()
                if opened is None:
                    raise BlockingIOError
                return self._from_file(opened)
        return self._from_memory()

    async def read(self) -> Block | None:
        self._part_with_file()
        if not self._open or self._at >= self._end:
            return None
        while not self._has_block():
            self._move()
            if not self._look():
                opened = self._next_file or await self._more()
                if opened is not None:
                    return self._from_file(opened)
        return self._from_memory()

    def close(self) -> None:
        self._part_with_file()
        self._drop_next_file()
        self._drop_block()
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
            self._drop_next_file()
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
        self._drop_block()
        start, self._block = found
        self._block_at = begin + start
        self._shelf.touch(generation, piece)
        return True

    def _open_nowait(self) -> OpenPiece | None:
        """The file with the next block, where that is at hand."""
        generation = self._generation
        if self._next_file is None and self.index not in generation.pieces:
            self._next_file = self._shelf.open_nowait(generation, self.index)
        return self._next_file

    async def _more(self) -> OpenPiece | None:
        """Wait for what is not in memory; the file with it, where there is one."""
        generation = self._generation
        piece = generation.pieces.get(self.index)
        if piece is not None:
            await piece.grown()
            return None
        opened = await self._shelf.open(generation, self.index)
        if opened is not None or self.index in generation.pieces:
            return opened
        if self._begun == self.index:
            await self._fetch()
            return None
        fill = generation.filling(self.index)
        if fill is None:
            fill = generation.supply.begin(generation, self.index, self.last_index)
        await fill.turn()
        return None

    async def _fetch(self) -> None:
        """The next block, for this reader alone."""
        generation = self._generation
        self._drop_block()
        left = min(self._end, generation.span_of(self.index).last + 1) - self._at
        self._alone_bytes = self._shelf.alone.take(left)
        span = Span(self._at, self._at + self._alone_bytes - 1)
        self._block = await generation.supply.fetch(generation, span)
        self._block_at = span.first

    def _drop_block(self) -> None:
        self._block = b""
        self._shelf.alone.give_back(self._alone_bytes)
        self._alone_bytes = 0

    def _has_block(self) -> bool:
        return 0 <= self._at - self._block_at < len(self._block)

    def _from_memory(self) -> bytes | memoryview:
        offset = self._at - self._block_at
        size = min(len(self._block) - offset, self._end - self._at, READ_BYTES)
        self._went(size)
        if size == len(self._block):
            return self._block
        return memoryview(self._block)[offset : offset + size]

    def _from_file(self, opened: OpenPiece) -> FileBlock:
        self._file, self._next_file = opened, None
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

    def _drop_next_file(self) -> None:
        if self._next_file is not None:
            self._next_file.close()
            self._next_file = None
