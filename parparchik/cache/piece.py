"""A slice of an object in memory, growing or whole.

Blocks are shared: every reader is given the very same bytes. A piece is there as long as somebody
holds it: the fill that makes it, the memory under its budget, the disk while it saves it. When the
last lets go, its bytes go at once, also for a reader in the middle of it, who keeps no more than
the block at hand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import trio

from parparchik.errors import Truncated, UpstreamError

JOINED_BYTES = 1 << 20
"""Blocks are joined up to this size: what is smaller is one block, and nobody reads more at once.
"""
SPARSE_BYTES = 32_768
"""Blocks that are smaller than this on average are joined; else there are as many as came."""

PIECE_BYTES = 800
BLOCK_BYTES = 80
"""What a piece, and each of its blocks, costs beside its bytes: Python's objects, measured."""


class Piece:
    """`holds` counts who holds it; `on_gone` is called once when nobody does any more."""

    __slots__ = (
        "_grown",
        "_on_gone",
        "_starts",
        "blocks",
        "error",
        "holds",
        "index",
        "received_bytes",
        "size_bytes",
        "whole",
    )

    def __init__(self, index: int, size_bytes: int, on_gone: Callable[[Piece], None]) -> None:
        self.index = index
        self.size_bytes = size_bytes
        self.blocks: list[bytes] = []
        self._starts: list[int] = []
        self.received_bytes = 0
        self.whole = False
        self.error: UpstreamError | None = None
        self.holds = 1  # its maker's
        self._on_gone = on_gone
        self._grown = trio.lowlevel.ParkingLot()

    @property
    def cost_bytes(self) -> int:
        return self.size_bytes + PIECE_BYTES + BLOCK_BYTES * len(self.blocks)

    def append(self, block: bytes) -> None:
        """Raises Truncated for more than belongs here: then S3 does not do as it said."""
        if self.received_bytes + len(block) > self.size_bytes:
            raise Truncated("S3 sent more than it had announced")
        self._starts.append(self.received_bytes)
        self.blocks.append(block)
        self.received_bytes += len(block)
        self._grown.unpark_all()

    def finish(self) -> None:
        """All of it is there."""
        if self.size_bytes <= JOINED_BYTES or len(self.blocks) * SPARSE_BYTES > self.size_bytes:
            self._join(JOINED_BYTES)
        self.whole = True
        self._grown.unpark_all()

    def fail(self, error: UpstreamError) -> None:
        """It will never be whole; who waits for it is told why."""
        if not self.whole:
            self.error = error
            self._grown.unpark_all()

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        if not self.holds:
            self.blocks = []
            self._starts = []
            self._on_gone(self)
            self._grown.unpark_all()

    def block_at(self, offset: int) -> tuple[int, bytes] | None:
        """The block that has the byte at `offset`, and where in the piece that begins; None where
        it has not come yet, or has gone."""
        if offset >= self.received_bytes or not self.blocks:
            return None
        at = bisect_right(self._starts, offset) - 1
        return self._starts[at], self.blocks[at]

    async def grown(self) -> None:
        """Until there is more of it, or never will be. Raises its error."""
        if self.error is None:
            await self._grown.park()
        if self.error is not None:
            raise self.error

    def _join(self, limit_bytes: int) -> None:
        joined: list[bytes] = []
        group: list[bytes] = []
        size = 0
        for block in self.blocks:
            if size + len(block) > limit_bytes:
                joined.append(b"".join(group))
                group, size = [], 0
            group.append(block)
            size += len(block)
        joined.append(b"".join(group))
        self.blocks = joined
        self._starts = []
        start = 0
        for block in joined:
            self._starts.append(start)
            start += len(block)
