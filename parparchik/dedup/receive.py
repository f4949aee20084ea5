"""Uploads as they come in: digest and size are found out by ourselves, whatever the client says.

A `Body` is an Upload again, of what is to be stored. Its end is only told once everything is known
to be right: whoever stores what it reads has stored nothing when it raises instead.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import trio

from parparchik.dedup.compress import Bounds, Packer
from parparchik.errors import BadDigest, TooLarge
from parparchik.model import Upload

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STEP_BYTES = 128 * 1024  # gathered before they are worked at, where more is sure to come
# More goes to a thread: this is a millisecond's work, or, of gzip at its worst, some ten.
_INLINE_BYTES = 16 * 1024
_INLINE_GZIP_BYTES = 4 * 1024


class Expected(NamedTuple):
    """What the client says of the content: its SHA-256 in hex, '' if nothing, and its size."""

    digest: str = ""
    logical_bytes: int | None = None

    @property
    def is_whole(self) -> bool:
        return bool(self.digest) and self.logical_bytes is not None


NOTHING_EXPECTED = Expected()


def parse_expected(digest: str, logical_bytes: int | None) -> Expected:
    """Raises BadDigest for what no content can have. A digest may be written in capitals."""
    digest = digest.lower()
    if digest and not _DIGEST.fullmatch(digest):
        raise BadDigest("SHA256-Checksum is not 64 hexadecimal digits")
    if logical_bytes is not None and logical_bytes < 0:
        raise BadDigest("Logical-Size is less than nothing")
    return Expected(digest, logical_bytes)


class Body:
    """`model.Upload` of what is stored of `upload` (see Packer, whose figures are final when this
    has been read to its end)."""

    def __init__(
        self,
        upload: Upload,
        expected: Expected,
        bounds: Bounds,
        *,
        gzip: bool,
        level: int,
    ) -> None:
        """Raises TooLarge for what is announced to be."""
        announced = upload.size_bytes
        if announced is not None and announced > bounds.max_body_bytes:
            raise TooLarge(f"the body has more than the {bounds.max_body_bytes} bytes taken")
        if (expected.logical_bytes or 0) > bounds.max_logical_bytes:
            raise TooLarge(f"the content has more than the {bounds.max_logical_bytes} bytes taken")
        self._upload = upload
        self._expected = expected
        self._gzip = gzip
        self._made: list[bytes] = []
        self._came_to_end = False
        self.packer = Packer(bounds, gzip=gzip, level=level, size_bytes=announced)

    @property
    def size_bytes(self) -> int | None:
        return self._upload.size_bytes if self._gzip else None

    async def read(self) -> bytes:
        """Raises BadDigest, NotGzip, TooLarge, and what reading the upload raises."""
        inline_bytes = _INLINE_GZIP_BYTES if self._gzip else _INLINE_BYTES
        while not self._made and not self.packer.ended:
            data = await self._gather()
            if len(data) <= inline_bytes:
                self._made = self._step(data)
            else:
                self._made = await trio.to_thread.run_sync(self._step, data)
        return self._made.pop(0) if self._made else b""

    def take_whole(self, data: bytes) -> bytes | None:
        """`read` to the end, where `data` is all there is of the upload; None where that is more
        than a moment's work. Raises BadDigest, NotGzip, TooLarge."""
        if len(data) > (_INLINE_GZIP_BYTES if self._gzip else _INLINE_BYTES):
            return None
        self._came_to_end = True
        return b"".join(self._step(data))

    async def drain(self) -> None:
        """Read it all for the sake of what there is to be known; nothing is to be stored."""
        self.packer.keeps = False
        while await self.read():
            pass

    async def _gather(self) -> bytes:
        piece = await self._upload.read()
        gathered = bytearray()
        while piece and len(gathered) + len(piece) < _STEP_BYTES:
            gathered += piece
            piece = await self._upload.read()
        self._came_to_end = not piece
        return bytes(gathered) + piece if gathered else piece

    def _step(self, data: bytes) -> list[bytes]:
        packer = self.packer
        made = packer.feed(data) if data else []
        told = self._expected.logical_bytes
        if told is not None and packer.logical_bytes > told:
            raise BadDigest(f"the content has more than the announced {told} bytes")
        if self._came_to_end:
            made += packer.end()
            self._verify()
        return made

    def _verify(self) -> None:
        digest, logical_bytes = self._expected
        if logical_bytes not in (None, self.packer.logical_bytes):
            raise BadDigest(
                f"the content has {self.packer.logical_bytes} bytes, announced were {logical_bytes}"
            )
        if digest not in ("", self.packer.digest):
            raise BadDigest("the content's SHA-256 is another than announced")
