"""Blobs on their way from S3 to a client: as they are stored, or inflated as they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from parparchik.content import Download
from parparchik.dedup.compress import Inflater, NotGzip
from parparchik.errors import Truncated

_INLINE_BYTES = 4 * 1024  # of gzip; more is inflated in a thread


class StoredContent:
    """`model.Content` of a blob as S3 has it. `part` takes the download back."""

    def __init__(self, download: Download, part: Callable[[Download], None]) -> None:
        self._download = download
        self._part = part
        self._closed = False

    async def read(self) -> bytes | None:
        return await self._download.read() or None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._part(self._download)


class InflatedContent(StoredContent):
    """The same of its content, which must be of `logical_bytes`."""

    def __init__(
        self, download: Download, part: Callable[[Download], None], logical_bytes: int
    ) -> None:
        super().__init__(download, part)
        self._left = logical_bytes
        self._inflater = Inflater()
        self._made: Iterator[bytes] = iter(())
        self._inline = True

    async def read(self) -> bytes | None:
        """Raises Truncated where S3 sends what was never stored."""
        try:
            while (made := await self._inflate()) is None:
                piece = await self._download.read()
                if not piece:
                    self._inflater.end()
                    break
                self._made = self._inflater.feed(piece)
                self._inline = len(piece) <= _INLINE_BYTES
        except NotGzip as error:
            raise Truncated(f"a stored blob is damaged: {error}") from error
        self._left -= len(made or b"")
        if self._left < 0 or (made is None and self._left):
            raise Truncated("a stored blob is not as large as it was")
        return made

    async def _inflate(self) -> bytes | None:
        if self._inline:
            return next(self._made, None)
        return await trio.to_thread.run_sync(next, self._made, None)
