"""A list of files as a body: a path a line, in the order of their bytes, made as it is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

from parparchik.dedup.parting import Closing
from parparchik.dedup.paths import relative_to
from parparchik.dedup.types import File

BLOCK_BYTES = 65_536
"""Of lines, before they go out."""

Pages = AsyncIterator[Sequence[File]]


class Listing:
    """`model.Content` of the files that `pages` gives, relative to `folder`, to which they belong.

    `part` is told of pages that nobody wants the rest of, to close them by and by.
    """

    def __init__(self, pages: Pages, folder: str, part: Callable[[Closing], object]) -> None:
        self._pages = pages
        self._folder = folder
        self._part = part
        self._lines: Iterator[bytes] = iter(())
        self._ahead: bytes | None = None
        self._ended = False
        self._closed = False

    async def begin(self) -> bytes | None:
        """The whole body, where that is one block: then its size is known, and nothing is left to
        read. None: it is larger, or perhaps."""
        self._ahead = await self._make()
        return (self._ahead or b"") if self._ended else None

    async def read(self) -> bytes | None:
        if self._closed:
            return None
        if self._ahead is not None:
            block, self._ahead = self._ahead, None
            return block
        return await self._make()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if not self._ended and isinstance(self._pages, AsyncGenerator):
                self._part(self._pages)

    async def _make(self) -> bytes | None:
        block = bytearray()
        while len(block) < BLOCK_BYTES:
            line = next(self._lines, None)
            if line is not None:
                block += line
                continue
            page = None if self._ended else await anext(self._pages, None)
            if page is None:
                self._ended = True
                break
            self._lines = self._lines_of(page)
        return bytes(block) or None

    def _lines_of(self, page: Sequence[File]) -> Iterator[bytes]:
        for file in page:
            yield relative_to(self._folder, file.path).encode() + b"\n"
