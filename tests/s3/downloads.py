"""What was opened, and what is in it."""

from __future__ import annotations

from parparchik.content import Download, NotModified, Representation


def opened(answered: Download | NotModified | None) -> Download:
    assert answered is not None
    assert not isinstance(answered, NotModified)
    return answered


async def content(answered: Download | NotModified | None) -> bytes:
    """All of it. The end stays the end, and closing it again does no harm."""
    download = opened(answered)
    pieces = []
    while piece := await download.read():
        pieces.append(piece)
    assert await download.read() == b""
    await download.aclose()
    await download.aclose()
    return b"".join(pieces)


async def described(answered: Download | NotModified | None) -> Representation:
    """What it says of the object. The body is left, and the connection given back."""
    download = opened(answered)
    await download.aclose()
    return download.representation
