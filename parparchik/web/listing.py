"""`/list` as a stream: a million entries without a body in memory and without a stall."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from parparchik.web.documents import FileDocument
from parparchik.web.protocols import Files

_encode = msgspec.json.Encoder().encode


async def listing(files: Files) -> AsyncIterator[bytes]:
    """Pieces that together are `{"files": [...], "count": n}`.

    The count comes last, so that it is that of the files sent even when the registry changes
    meanwhile.
    """
    count = 0
    yield b'{"files":['
    async with aclosing(files.sorted_batches()) as batches:
        async for batch in batches:
            encoded = _encode([FileDocument.of(entry) for entry in batch])[1:-1]
            yield b"," + encoded if count else encoded
            count += len(batch)
    yield b'],"count":%d}' % count
