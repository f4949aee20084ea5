"""Bodies to store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class Sent:
    """A body out of memory, in pieces of `step` bytes, announced as `size_bytes`. `before` is
    awaited before each piece, with the number of bytes that were read; `read_bytes` is theirs."""

    def __init__(
        self,
        data: bytes,
        *,
        size_bytes: int | None = None,
        step: int = 10_000,
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self.size_bytes = size_bytes
        self.read_bytes = 0
        self._data = data
        self._step = step
        self._before = before

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._before is not None:
            await self._before(self.read_bytes)
        piece = self._data[self.read_bytes : self.read_bytes + self._step]
        self.read_bytes += len(piece)
        return piece
