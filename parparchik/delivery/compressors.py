"""The content codings that can be made here: gzip always, Brotli (RFC 7932) and Zstandard
(RFC 8878) where their libraries are installed (extras `brotli` and `zstandard`).

A variant is made once, in a thread, and served many times: so the levels are higher than those of
servers that compress every answer anew, and low enough for 16 MiB to take a second or so.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from parparchik.cache import Coding

Compress = Callable[[Sequence[bytes]], bytes]

_GZIP_LEVEL = 7
_BROTLI_QUALITY = 6
_ZSTANDARD_LEVEL = 9  # its window stays below the 8 MiB that a client must have (RFC 9659)
_GZIP_WINDOW = 15 + 16  # zlib's way to say: with gzip's header and trailer


def gzip(pieces: Sequence[bytes]) -> bytes:
    """The same bytes for the same pieces: no name and no time stand in the header."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    made = [compressor.compress(piece) for piece in pieces]
    made.append(compressor.flush())
    return b"".join(made)


def _brotli() -> Compress | None:
    try:
        import brotli
    except ImportError:
        return None

    def compress(pieces: Sequence[bytes]) -> bytes:
        compressor = brotli.Compressor(quality=_BROTLI_QUALITY)
        made: list[bytes] = [compressor.process(piece) for piece in pieces]
        made.append(compressor.finish())
        return b"".join(made)

    return compress


def _zstandard() -> Compress | None:
    try:
        import zstandard
    except ImportError:
        return None

    def compress(pieces: Sequence[bytes]) -> bytes:
        size_bytes = sum(map(len, pieces))
        compressor = zstandard.ZstdCompressor(level=_ZSTANDARD_LEVEL).compressobj(size=size_bytes)
        made: list[bytes] = [compressor.compress(piece) for piece in pieces]
        made.append(compressor.flush())
        return b"".join(made)

    return compress


def _installed() -> Mapping[Coding, Compress]:
    made: dict[Coding, Compress | None] = {"br": _brotli(), "zstd": _zstandard(), "gzip": gzip}
    return MappingProxyType({coding: make for coding, make in made.items() if make is not None})


COMPRESSORS = _installed()
"""In the order in which they are offered to a client that likes them alike: smallest first."""
