"""Pieces that are held for the sake of an answer that has been given.

What an object consists of S3 has as well. A variant is nowhere else: once the object has changed
at S3 it cannot be made again, and a client that has been told its length would see it break off. So
what memory has of it is held from the answer to the end of the body.
"""

from __future__ import annotations

from collections.abc import Iterable

from parparchik.cache.piece import Piece

PINNED_BYTES = 64 << 20
"""What is held so beside what the memory retains, at most: slow clients of very many variants take
their chance with the rest."""


class Pins:
    __slots__ = ("_pins", "pinned_bytes")

    def __init__(self) -> None:
        self.pinned_bytes = 0
        self._pins: dict[Piece, int] = {}

    def hold(self, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
        """Those of the pieces that there is room for; to be `let_go`."""
        held: list[Piece] = []
        for piece in pieces:
            if piece not in self._pins:
                if self.pinned_bytes + piece.size_bytes > PINNED_BYTES:
                    continue
                self.pinned_bytes += piece.size_bytes
                self._pins[piece] = 0
                piece.hold()
            self._pins[piece] += 1
            held.append(piece)
        return tuple(held)

    def let_go(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._pins[piece] -= 1
            if not self._pins[piece]:
                del self._pins[piece]
                self.pinned_bytes -= piece.size_bytes
                piece.release()
