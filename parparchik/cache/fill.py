"""One answer of S3, cut into pieces for all who read them.

A fill goes on from piece to piece as long as somebody wants the next one, ahead of the fastest
reader by two pieces and no more, and by less where there are many fills. It never stops within a
piece. Between two it may: for good when nobody wants the next, when the readers do not move for a
while, or when another request waits for its slot. The pieces it has made last are held in memory
until it ends, so that readers at about the same place share them whatever the budget of the memory.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import NamedTuple

import trio

from parparchik.cache.counters import Counters
from parparchik.cache.flight import Flight
from parparchik.cache.generation import Generation
from parparchik.cache.passage import close
from parparchik.cache.piece import Piece
from parparchik.cache.shelf import Shelf
from parparchik.cache.slots import Slots
from parparchik.content import Download
from parparchik.errors import Truncated, Unavailable, UpstreamError

AHEAD = 2
"""Pieces that a fill may be ahead of its fastest reader."""
IN_FLIGHT_BYTES = 256 << 20
"""What all fills together hold beside what the memory retains, where they can do with that: each
needs the piece it reads and the one before."""
PATIENCE_S = 5.0
"""For how long it waits for readers that do not move, or have not come yet."""


class Window(NamedTuple):
    """How many pieces a fill may be ahead, and how many finished ones it holds."""

    ahead: int
    held: int


def window(fills: int, slice_bytes: int) -> Window:
    """For each of so many fills."""
    share = IN_FLIGHT_BYTES // (max(1, fills) * slice_bytes)
    ahead = max(0, min(AHEAD, share - 2))
    return Window(ahead, ahead + 1)


class _Wish(Enum):
    GO = auto()
    WAIT = auto()
    NOBODY = auto()


class Fill:
    """Pieces `first` to `last` of a generation. It is among the generation's fills from when it is
    made, and `opened` when S3 has begun to answer."""

    __slots__ = (
        "_counters",
        "_generation",
        "_held",
        "_rung",
        "_shelf",
        "_slots",
        "_turned",
        "_was_read",
        "ended",
        "error",
        "first",
        "last",
        "next_index",
        "opened",
    )

    def __init__(
        self,
        generation: Generation,
        first: int,
        last: int,
        shelf: Shelf,
        *,
        slots: Slots,
        counters: Counters,
    ) -> None:
        self._generation = generation
        self.first = self.next_index = first
        self.last = last
        self._shelf = shelf
        self._slots = slots
        self._counters = counters
        self._held: deque[Piece] = deque()
        self._turned = trio.lowlevel.ParkingLot()
        self._rung = trio.lowlevel.ParkingLot()
        self._was_read = False
        self.opened: Flight[None] = Flight()
        self.ended = False
        self.error: UpstreamError | None = None
        generation.fills.append(self)

    def reaches(self, index: int) -> bool:
        return self.next_index <= index <= min(self.last, self.next_index + AHEAD - 1)

    async def turn(self) -> None:
        if not self.ended:
            await self._turned.park()
        if self.error is not None:
            raise self.error

    def ring(self) -> None:
        self._rung.unpark_all()

    async def pour(self, download: Download) -> None:
        """Read the download, which sends the bytes of the pieces from `first` on, and close it.
        Holds a slot of the caller's meanwhile. Its failure is the readers', not the caller's."""
        try:
            try:
                await self._pour(download)
            finally:
                await close(download)
            await self._linger()
        except UpstreamError as error:
            self._counters.errors += 1
            self.end(error)
        finally:
            self.end(Unavailable("the cache is closing down"))

    def end(self, error: UpstreamError) -> None:
        """There will be no more of it; `error` is for those who wait for what it has not given.
        Without effect when it has ended."""
        if self.ended:
            return
        self.ended = True
        self._generation.fills.remove(self)
        self.opened.fail(error)
        if self.next_index <= self.last:
            self.error = error
        while self._held:
            piece = self._held.popleft()
            piece.fail(error)
            piece.release()
        self._turned.unpark_all()

    async def _pour(self, download: Download) -> None:
        left = await self._skip(download)
        while self.next_index <= self.last:
            index = self.next_index
            if index != self.first and not await self._is_wanted(index):
                break
            if index in self._generation.pieces or self._shelf.has(self._generation, index):
                break
            piece = self._generation.begin(index)
            self.next_index += 1
            self._hold(piece)
            self._turned.unpark_all()
            left = await self._grow(piece, left, download)
            await self._shelf.keep(self._generation, piece)
        else:
            if self._generation.span_of(self.last).last >= download.span.last and (
                left or await download.read()
            ):
                raise Truncated("S3 sent more than it had announced")
        self.last = self.next_index - 1

    async def _grow(self, piece: Piece, left: bytes, download: Download) -> bytes:
        """Make it whole; what was read beyond it."""
        while piece.received_bytes < piece.size_bytes:
            block = left or await self._read(download)
            room = piece.size_bytes - piece.received_bytes
            left = block[room:]
            piece.append(block[:room])
        piece.finish()
        return left

    async def _skip(self, download: Download) -> bytes:
        """Pass over what S3 sends before the first piece, as one does that knows no ranges; what
        was read of what follows."""
        behind = self._generation.span_of(self.first).first - download.span.first
        while behind > 0:
            block = await self._read(download)
            if len(block) > behind:
                return block[behind:]
            behind -= len(block)
        return b""

    async def _read(self, download: Download) -> bytes:
        block = await download.read()
        if not block:
            raise Truncated("S3 sent less than it had announced")
        self._counters.fetched_bytes += len(block)
        return block

    def _hold(self, piece: Piece) -> None:
        self._held.append(piece)
        while len(self._held) > self._window().held + 1:  # and the growing one
            self._held.popleft().release()

    def _window(self) -> Window:
        return window(self._slots.taken, self._generation.slice_bytes)

    async def _is_wanted(self, index: int) -> bool:
        """Whether to go on with that piece, when it is time to."""
        with trio.move_on_after(PATIENCE_S):
            while True:
                wish = self._wish(index)
                if wish is _Wish.GO:
                    return True
                if (wish is _Wish.NOBODY and self._was_read) or self._slots.waiting:
                    return False
                await self._pause()
        return False

    def _wish(self, index: int) -> _Wish:
        wanting = [
            reader.index
            for reader in self._generation.readers
            if index <= reader.last_index and reader.index < index + AHEAD
        ]
        if not wanting:
            return _Wish.NOBODY
        self._was_read = True
        return _Wish.GO if index <= max(wanting) + self._window().ahead else _Wish.WAIT

    async def _linger(self) -> None:
        """Hold what nobody else holds for those who are about to read it."""
        with trio.move_on_after(PATIENCE_S):
            while not self._slots.waiting and any(map(self._is_mine_alone, self._held)):
                await self._pause()

    def _is_mine_alone(self, piece: Piece) -> bool:
        if piece.holds > 1 or self._shelf.on_disk(self._generation, piece.index):
            return False
        readers = self._generation.readers
        self._was_read = self._was_read or bool(readers)
        return not self._was_read or any(
            reader.index <= piece.index <= reader.last_index for reader in readers
        )

    async def _pause(self) -> None:
        self._slots.paused.add(self)
        try:
            await self._rung.park()
        finally:
            self._slots.paused.discard(self)
