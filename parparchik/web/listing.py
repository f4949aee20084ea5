"""`/list` as a stream: a million entries without a body in memory and without a stall."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import trio

from parparchik.web.documents import FileDocument
from parparchik.web.protocols import Files

_encode = msgspec.json.Encoder().encode


async def listing(files: Files) -> AsyncIterator[bytes]:
    """Pieces that together are `{"files": [...], "count": n}`.

    The count comes last, so that it is that of the files sent even when the registry changes
    meanwhile. Other tasks run between any two batches, also between empty ones.
    """
    count = 0
    yield b'{"files":['
    for batch in files.sorted_batches():
        if batch:
            encoded = _encode([FileDocument.of(entry) for entry in batch])[1:-1]
            yield b"," + encoded if count else encoded
            count += len(batch)
        await trio.lowlevel.checkpoint()
    yield b'],"count":%d}' % count
