"""The body of a multipart/byteranges: the heads of its parts and, between them, spans of an
object, each opened when its turn comes."""

from __future__ import annotations

from collections.abc import Iterator

from parparchik.cache import Found
from parparchik.content import Span
from parparchik.model import Block, Content
from parparchik.rfc import ByteRanges


class PartsContent:
    """`model.Content`."""

    def __init__(self, found: Found, framing: ByteRanges) -> None:
        self._found = found
        self._left = _pieces(framing)
        self._open: Content | None = None

    async def read(self) -> Block | None:
        while True:
            if self._open is not None:
                block = await self._open.read()
                if block is not None:
                    return block
                self._close_part()
            piece = next(self._left, None)
            if not isinstance(piece, Span):
                return piece
            self._open = self._found.content(piece)

    def close(self) -> None:
        self._left = iter(())
        self._close_part()

    def _close_part(self) -> None:
        part, self._open = self._open, None
        if part is not None:
            part.close()


def _pieces(framing: ByteRanges) -> Iterator[bytes | Span]:
    for head, span in framing.parts:
        yield head
        yield span
    yield framing.end


def parts_of(body: bytes, framing: ByteRanges) -> bytes:
    """The same of a body that is in memory."""
    pieces = (
        piece if isinstance(piece, bytes) else memoryview(body)[piece.first : piece.last + 1]
        for piece in _pieces(framing)
    )
    return b"".join(pieces)
