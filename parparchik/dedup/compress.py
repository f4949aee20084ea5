"""gzip both ways (RFC 1952), piece by piece, with bounded memory. Pure.

What comes in is taken apart into small steps, so that no piece of input makes more than a step of
output at a time, be it a bomb; and so that input made of a great many empty members costs no more
than its size.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from parparchik.errors import ClientError, TooLarge

STEP_BYTES = 256 * 1024  # of output at a time

_GZIP = 16  # zlib's way to say: with gzip's header and trailer
_GZIP_WINDOW = 15 + _GZIP
_SMALLEST_WINDOW, _LARGEST_WINDOW = 12, 15  # as powers of two
_LOOKAHEAD_BYTES = 262  # of its window, that deflate does not look back over
_FED_BYTES = 16 * 1024  # of input at a time: what follows a member is copied once per member


class NotGzip(ClientError):
    """The body is not what `Content-Encoding: gzip` says, or not to its end."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an upload may be. `max_ratio` is the most that a gzip body may grow, and is looked
    at from `ratio_free_bytes` of content on: small ones may be as dull as they like. (deflate can
    do 1032:1, and a file of zeros does.) `max_padding` is the other way round: how many times the
    bytes of its content a gzip body may have, looked at from `padding_free_bytes` of body on. (It
    is stored as it came, so everybody who reads that content is sent all of it, also what adds no
    byte: empty members, zeros. Members of one byte each have 21 times that.)"""

    max_body_bytes: int = 8 << 30
    max_logical_bytes: int = 8 << 30
    max_ratio: int = 512
    ratio_free_bytes: int = 64 << 20
    max_padding: int = 32
    padding_free_bytes: int = 1 << 20


class Inflater:
    """Content of one gzip file: of all its members, zeros after the last one passed over, as
    gzip(1) does it."""

    __slots__ = ("_inflate",)

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """At most STEP_BYTES at a time. Raises NotGzip."""
        view = memoryview(data)
        for at in range(0, len(view), _FED_BYTES):
            yield from self._feed(view[at : at + _FED_BYTES])

    def end(self) -> None:
        """Raises NotGzip where something is missing."""
        if not self._inflate.eof:
            raise NotGzip("the gzip body ends too early")

    def _feed(self, rest: bytes | memoryview) -> Iterator[bytes]:
        while rest:
            if self._inflate.eof:
                rest = bytes(rest).lstrip(b"\0")
                if not rest:
                    return
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            try:
                made = self._inflate.decompress(rest, STEP_BYTES)
            except zlib.error as error:
                raise NotGzip(f"the body is not gzip: {error}") from error
            if made:
                yield made
            rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


def _deflating(level: int, size_bytes: int | None) -> zlib._Compress:
    """For so many bytes, if that is known. Setting up zlib's tables for 32 KiB of looking back
    takes longer than compressing 4 KiB; with what those need, the outcome is the same."""
    window, memory = _LARGEST_WINDOW, zlib.DEF_MEM_LEVEL
    if size_bytes is not None:
        wanted = (size_bytes + _LOOKAHEAD_BYTES).bit_length()
        window = max(_SMALLEST_WINDOW, min(wanted, _LARGEST_WINDOW))
        memory -= (_LARGEST_WINDOW - window) and 2
    return zlib.compressobj(level, zlib.DEFLATED, window + _GZIP, memory)


class Packer:
    """Makes of an upload what is stored of it, and finds out its digest and size.

    `gzip`: the body is gzip already, and is stored as it came; `level` is zlib's, for what is not,
    and `size_bytes` what is announced of it: if that is a lie, it is compressed less well.
    Where `keeps` is made False, nothing is to be stored, so nothing is made. `ended` is when
    `digest` (SHA-256 of the content, in hex), `logical_bytes` and `stored_bytes` are final.
    """

    __slots__ = (
        "_bounds", "_deflate", "_gzip", "_inflate", "_level", "_sha256", "_size_bytes",
        "body_bytes", "ended", "keeps", "logical_bytes", "stored_bytes",
    )  # fmt: skip

    def __init__(
        self, bounds: Bounds, *, gzip: bool, level: int, size_bytes: int | None = None
    ) -> None:
        self._bounds = bounds
        self._gzip = gzip
        self._inflate = Inflater()
        self._level = level
        self._size_bytes = size_bytes
        self._deflate: zlib._Compress | None = None
        self._sha256 = hashlib.sha256()
        self.body_bytes = 0
        self.logical_bytes = 0
        self.stored_bytes = 0
        self.ended = False
        self.keeps = True

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()

    def feed(self, data: bytes) -> list[bytes]:
        """What is to be stored next, perhaps nothing yet. Raises NotGzip, TooLarge."""
        self.body_bytes += len(data)
        _limit("body", self.body_bytes, self._bounds.max_body_bytes)
        if not self._gzip:
            self._learn(data)
            return self._store(self._deflating().compress(data)) if self.keeps else []
        for piece in self._inflate.feed(data):
            self._learn(piece)
        self._check_padding()
        return self._store(data) if self.keeps else []

    def end(self) -> list[bytes]:
        """The same of the end. Raises NotGzip."""
        self.ended = True
        if self._gzip:
            self._inflate.end()
            return []
        return self._store(self._deflating().flush()) if self.keeps else []

    def _deflating(self) -> zlib._Compress:
        if self._deflate is None:
            self._deflate = _deflating(self._level, self._size_bytes)
        return self._deflate

    def _learn(self, content: bytes) -> None:
        self._sha256.update(content)
        self.logical_bytes += len(content)
        _limit("content", self.logical_bytes, self._bounds.max_logical_bytes)
        if self._gzip and self.logical_bytes > self._bounds.ratio_free_bytes:
            most = self.body_bytes * self._bounds.max_ratio
            if self.logical_bytes > most:
                raise TooLarge(f"the body grows more than {self._bounds.max_ratio} times")

    def _check_padding(self) -> None:
        bounds = self._bounds
        most = max(bounds.padding_free_bytes, self.logical_bytes * bounds.max_padding)
        if self.body_bytes > most:
            raise TooLarge(f"the gzip body has more than {bounds.max_padding} times its content")

    def _store(self, piece: bytes) -> list[bytes]:
        self.stored_bytes += len(piece)
        return [piece] if piece else []


def _limit(what: str, size_bytes: int, most: int) -> None:
    if size_bytes > most:
        raise TooLarge(f"the {what} has more than the {most} bytes that are taken")
