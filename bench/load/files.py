"""Small files to be stored, sent as filetracker's client sends them: as gzip, with their digest.

The load must not be busier than whom it loads, so a file is made in a few microseconds. All have
the same text but for a number, which comes last: what stands before it is hashed and compressed
once, and the number follows in a block of its own that is not compressed (RFC 1951 section 3.2.4).
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from struct import pack
from typing import ClassVar, NamedTuple
from urllib.parse import quote_plus

from bench.load.deck import Ask, Expected, Sent

FILE_BYTES = 4096
_NUMBER_BYTES = 32
_GZIP_HEAD = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"  # RFC 1952: no name, no time
_VERSION = "Thu, 01 Jan 2026 00:00:00 -0000"

_TEXT = random.Random("files").randbytes((FILE_BYTES - _NUMBER_BYTES) // 2).hex().encode()
_SHA256 = hashlib.sha256(_TEXT)
_CRC32 = zlib.crc32(_TEXT)
_DEFLATE = zlib.compressobj(9, zlib.DEFLATED, -15)
_BEGUN = _GZIP_HEAD + _DEFLATE.compress(_TEXT) + _DEFLATE.flush(zlib.Z_SYNC_FLUSH)
_LAST_BLOCK = b"\x01" + pack("<HH", _NUMBER_BYTES, _NUMBER_BYTES ^ 0xFFFF)


def version_query() -> str:
    """What a PUT's URL ends with, as the client writes it: the same version for all."""
    return f"?last_modified={quote_plus(_VERSION)}"


class SmallFile(NamedTuple):
    """A file of FILE_BYTES: as gzip, and the SHA-256 of what is in it."""

    gzip: bytes
    digest: str

    @classmethod
    def of(cls, number: int) -> SmallFile:
        """Other numbers, below 16**32, are other files."""
        end = b"%032x" % number
        sha256 = _SHA256.copy()
        sha256.update(end)
        trailer = pack("<LL", zlib.crc32(end, _CRC32), FILE_BYTES)
        return cls(b"".join((_BEGUN, _LAST_BLOCK, end, trailer)), sha256.hexdigest())

    def sent(self) -> Sent:
        return Sent(
            self.gzip,
            (
                ("SHA256-Checksum", self.digest),
                ("Content-Encoding", "gzip"),
                ("Logical-Size", str(FILE_BYTES)),
            ),
        )


@dataclass(frozen=True, slots=True)
class FilesPut:
    """A deck: PUTs of small files, to a path with `{n}` in it, each number once, from `first` on.
    `content`: the number of the file that all of them are; None: each is another one."""

    path: str
    first: int = 0
    content: int | None = None
    repeats: ClassVar[bool] = False

    def deal(self, process: int, processes: int) -> Iterator[Ask]:
        path, expected = self.path + version_query(), Expected(200)
        same = None if self.content is None else SmallFile.of(self.content).sent()
        for number in count(self.first + process, processes):
            sent = same or SmallFile.of(number).sent()
            yield Ask(path.format(n=number), expected, sent=sent)
