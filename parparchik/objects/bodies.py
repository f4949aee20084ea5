"""Bodies of requests, bounded: in size each, and in number all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from parparchik.errors import Overloaded, TooLarge
from parparchik.model import Upload

RETRY_AFTER_S = 1


class Bodies:
    """Lets so many in at a time; who comes when it is full is told to come again, and is not kept
    waiting with a connection and a buffer. `received` is told how many bytes came of each."""

    def __init__(self, limit: int, received: Callable[[int], None]) -> None:
        self._limit = limit
        self._received = received
        self.inside = 0
        self.refused = 0

    @contextmanager
    def enter(self, upload: Upload, max_bytes: int) -> Iterator[BoundedUpload]:
        """Raises TooLarge, Overloaded."""
        bounded = BoundedUpload(upload, max_bytes)
        if self.inside >= self._limit:
            self.refused += 1
            raise Overloaded(
                f"{self._limit} bodies are being taken already", retry_after_s=RETRY_AFTER_S
            )
        self.inside += 1
        try:
            yield bounded
        finally:
            self.inside -= 1
            self._received(bounded.received_bytes)


class BoundedUpload:
    """An Upload of at most so many bytes: what a client announces beyond it is refused before it is
    asked for, and what it does not announce is counted. `received_bytes` is what came."""

    def __init__(self, upload: Upload, max_bytes: int) -> None:
        """Raises TooLarge."""
        self._upload = upload
        self._max_bytes = max_bytes
        self.received_bytes = 0
        self._check(upload.size_bytes or 0)

    @property
    def size_bytes(self) -> int | None:
        return self._upload.size_bytes

    async def read(self) -> bytes:
        piece = await self._upload.read()
        self.received_bytes += len(piece)
        self._check(self.received_bytes)
        return piece

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise TooLarge(f"the body has more than the {self._max_bytes} bytes that are taken")


async def read_all(upload: Upload) -> bytes:
    """A small body, whole."""
    body = bytearray()
    while piece := await upload.read():
        body += piece
    return bytes(body)
