"""What was opened, and what is in it."""

from __future__ import annotations

from parparchik.content import Download, NotModified


def opened(answered: Download | NotModified | None) -> Download:
    assert answered is not None
    assert not isinstance(answered, NotModified)
    return answered


async def content(answered: Download | NotModified | None) -> bytes:
    download = opened(answered)
    pieces = []
    while piece := await download.read():
        pieces.append(piece)
    await download.aclose()
    return b"".join(pieces)
