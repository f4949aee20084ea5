"""The body of an upload, collected in parts that can be sent as often as it takes.

A part is held in memory and hashed whole before its first byte goes out: so its signature covers
it, and a try that fails costs nothing but another. Reading stops at a part's end until the next one
is asked for; that is the back-pressure.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import trio

from parparchik.content import Storing
from parparchik.errors import BadDigest
from parparchik.model import Upload
from parparchik.s3.request import PiecewiseBody

_INLINE_HASH_BYTES = 1 << 20  # a millisecond's work; more goes to a thread
_SMALL_BYTES = 16 * 1024  # smaller pieces are gathered: a million objects of a byte each are large
_GATHERED_BYTES = 64 * 1024


class _Digest(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class Part:
    """`sha256` (hex) is valid once the part is complete."""

    __slots__ = ("_pieces", "sha256", "size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray | memoryview] = []
        self.size_bytes = 0
        self.sha256 = ""

    @property
    def body(self) -> PiecewiseBody:
        return PiecewiseBody(self._pieces)

    def add(self, piece: bytes | memoryview) -> None:
        self.size_bytes += len(piece)
        if len(piece) >= _SMALL_BYTES:
            self._pieces.append(piece)
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytearray) and len(last) < _GATHERED_BYTES:
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def hash(self, *others: _Digest) -> None:
        sha256 = hashlib.sha256()
        for piece in self._pieces:
            sha256.update(piece)
            for other in others:
                other.update(piece)
        self.sha256 = sha256.hexdigest()


class PartReader:
    """Reads `upload` in parts of `part_bytes`, the last one excepted."""

    __slots__ = ("_digests", "_part_bytes", "_read_bytes", "_rest", "_upload", "ended")

    def __init__(self, upload: Upload, storing: Storing, part_bytes: int) -> None:
        self._upload = upload
        self._part_bytes = part_bytes
        self._read_bytes = 0
        self._rest = b""  # read, and of the next part
        self._digests: list[tuple[str, _Digest, bytes]] = []
        if storing.sha256:
            self._digests.append(("SHA-256", hashlib.sha256(), storing.sha256))
        if storing.md5:
            md5 = hashlib.md5(usedforsecurity=False)
            self._digests.append(("MD5", md5, storing.md5))
        self.ended = False  # the part read last was the last one

    async def read(self) -> Part:
        """The next part. Raises BadDigest for a body that is not as long as announced or, at its
        end, not what its digests say; and what reading raises."""
        part = Part()
        while part.size_bytes < self._part_bytes and not self.ended:
            if self._rest:
                self._add(part)
            else:
                await self._receive()
        while not self._rest and not self.ended:  # whether this part is the last one
            await self._receive()
        digests = [digest for _, digest, _ in self._digests]
        if part.size_bytes <= _INLINE_HASH_BYTES:
            part.hash(*digests)
        else:
            await trio.to_thread.run_sync(part.hash, *digests)
        if self.ended:
            self._verify()
        return part

    def _add(self, part: Part) -> None:
        wanted = self._part_bytes - part.size_bytes
        if len(self._rest) <= wanted:
            part.add(self._rest)
            self._rest = b""
        else:
            part.add(self._rest[:wanted])
            self._rest = self._rest[wanted:]

    async def _receive(self) -> None:
        self._rest = await self._upload.read()
        self._read_bytes += len(self._rest)
        self.ended = not self._rest
        announced = self._upload.size_bytes
        if announced is not None and self._read_bytes > announced:
            raise BadDigest(f"the body has more than the announced {announced} bytes")
        if self.ended and announced not in (None, self._read_bytes):
            raise BadDigest(f"the body has {self._read_bytes} bytes, announced were {announced}")

    def _verify(self) -> None:
        for name, digest, expected in self._digests:
            if digest.digest() != expected:
                raise BadDigest(f"the body's {name} is another than announced")
