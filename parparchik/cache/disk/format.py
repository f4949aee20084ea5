"""What is in a piece's file, and what that is called. Pure.

    data | footer | trailer

The data comes first, so that `os.sendfile` begins at the start of a page. The footer says which
piece of which object this is, in full, and of which generation. The trailer, at the file's very
end and always of one size, says how long both are and what their hashes have to be; a file without
a whole one was never finished, or is not ours.

The name is a hash of what the footer says, so that no key can make a path, and no two pieces share
one. That the two agree is checked whenever a file is opened.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from parparchik.cache.tiers import PieceName, Record

VERSION = 1

TAIL_MAX_BYTES = 1 << 20
"""A footer and a trailer are never longer: S3 takes 2 KB of metadata and headers of 8 KB."""

BLOCK_BYTES = 4096
FILE_BYTES = 4096
"""What a file costs beside its blocks: the inode, its name, its share of a directory."""

Unfit = Literal["torn", "version", "misnamed"]
"""Why a file is no piece: not whole or not ours, of another version of this format, or not what its
name says."""

_MAGIC = b"parparchikpc"
# Lengths of data and footer, SHA-256 of the data, SHA-256 of the footer and of what stands before.
_SUMS = struct.Struct(">QI32s")
_END = struct.Struct(">32sI12s")
TRAILER_BYTES = _SUMS.size + _END.size


class Unreadable(Exception):
    """The file is not the piece that it should be."""

    def __init__(self, reason: Unfit) -> None:
        super().__init__(reason)
        self.reason: Unfit = reason


class _Footer(msgspec.Struct, array_like=True, frozen=True):
    piece: PieceName
    record: Record
    run: str
    number: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What a file says of its data. `run` names the run of the process that wrote it, and `number`
    counts what that run saved."""

    piece: PieceName
    record: Record
    run: str
    number: int
    data_bytes: int
    data_sha256: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Footer).decode


def file_name(piece: PieceName) -> str:
    """64 hexadecimal digits. Each part is preceded by its length: no two pieces look alike."""
    digest = hashlib.sha256()
    for part in (piece.name.bucket, piece.name.key, piece.coding, str(piece.number)):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(struct.pack(">Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


def piece_bytes(record: Record, index: int) -> int | None:
    """How long a piece of that generation has to be; None where there is no such piece."""
    size, cut = record.representation.size_bytes, record.slice_bytes
    first = index * cut
    if cut < 1 or index < 0 or size < 0 or (first >= size and index > 0):
        return None
    return min(cut, size - first)


def footer(piece: PieceName, record: Record, run: str, number: int) -> bytes:
    """Raises ValueError for what cannot be written: text that is no Unicode, or is too long."""
    encoded = _encode(_Footer(piece, record, run, number))
    if len(encoded) + TRAILER_BYTES > TAIL_MAX_BYTES:
        raise ValueError("the record is too long")
    return encoded


def trailer(footer: bytes, data_bytes: int, data_sha256: bytes) -> bytes:
    sums = _SUMS.pack(data_bytes, len(footer), data_sha256)
    return sums + _END.pack(hashlib.sha256(footer + sums).digest(), VERSION, _MAGIC)


def cost_bytes(file_bytes: int) -> int:
    """What a file of that length takes of the budget."""
    return -(-file_bytes // BLOCK_BYTES) * BLOCK_BYTES + FILE_BYTES


def tail_bytes(end: bytes, file_bytes: int) -> int:
    """How much of the file's end is footer and trailer. `end` is at least the trailer, or all of a
    shorter file. Raises Unreadable."""
    if len(end) < TRAILER_BYTES:
        raise Unreadable("torn")
    _, version, magic = _END.unpack(end[-_END.size :])
    if magic != _MAGIC:
        raise Unreadable("torn")
    if version != VERSION:
        raise Unreadable("version")
    data_bytes, footer_bytes, _ = _SUMS.unpack(end[-TRAILER_BYTES : -_END.size])
    length = int(footer_bytes) + TRAILER_BYTES
    if length > TAIL_MAX_BYTES or data_bytes + length != file_bytes:
        raise Unreadable("torn")
    return length


def parse_tail(tail: bytes) -> Tail:
    """The `tail_bytes` at a file's end. Raises Unreadable."""
    footer, sums, end = tail[:-TRAILER_BYTES], tail[-TRAILER_BYTES : -_END.size], tail[-_END.size :]
    if hashlib.sha256(footer + sums).digest() != _END.unpack(end)[0]:
        raise Unreadable("torn")
    data_bytes, _, data_sha256 = _SUMS.unpack(sums)
    try:
        said = _decode(footer)
    except (msgspec.MsgspecError, ValueError):
        raise Unreadable("torn") from None
    if data_bytes != piece_bytes(said.record, said.piece.number):
        raise Unreadable("torn")
    return Tail(said.piece, said.record, said.run, said.number, data_bytes, data_sha256)


def sha256(blocks: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.digest()


def same_generation(one: Record, other: Record) -> bool:
    """Whether pieces of one may stand beside pieces of the other: when they were confirmed says
    nothing about their bytes."""
    return one is other or (
        one.slice_bytes == other.slice_bytes
        and one.source_etag == other.source_etag
        and one.representation == other.representation
    )
