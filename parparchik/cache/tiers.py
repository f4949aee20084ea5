"""The seam between the cache and its disk. Pure.

An object is kept in *pieces*: slices of `slice_bytes` from its beginning, the last one shorter; an
empty object is one empty piece. All pieces of an object as it was once (a *generation*, told by its
representation) say the same of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from parparchik.content import ObjectName, Representation


class PieceName(NamedTuple):
    """The pieces of an object have the numbers from 0. `coding` is '' for it as S3 has it."""

    name: ObjectName
    coding: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a generation, and since when: `confirmed_at_s` is when S3 last said so, by
    the wall clock. For a coded variant `representation` is the variant's and `source_etag` that of
    what it was made from. `slice_bytes` is how the pieces were cut."""

    representation: Representation
    confirmed_at_s: float
    slice_bytes: int
    source_etag: str = ""


class OpenPiece(Protocol):
    """A piece's bytes: `size_bytes` of the open file `fd` from `offset`. The file stays readable
    after the piece was removed, until `close`."""

    @property
    def fd(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


class Disk(Protocol):
    """Pieces on disk, the least recently used dropped first. Nothing here raises for what a disk
    may do: a piece that cannot be written, read or trusted is one that is not there, counted and
    logged."""

    def record(self, name: ObjectName, coding: str) -> Record | None:
        """The newest generation of which there is a piece. No I/O."""
        ...

    def has(self, piece: PieceName, record: Record) -> bool:
        """Whether there is such a piece of that very generation (the confirmation's time aside).
        No I/O."""
        ...

    async def open(self, piece: PieceName, record: Record) -> OpenPiece | None:
        """The piece of that generation, its hash checked once since the process began."""
        ...

    def open_nowait(self, piece: PieceName, record: Record) -> OpenPiece | None:
        """The same where that takes no thread and no disk; None: `open` is the way."""
        ...

    async def save(self, piece: PieceName, record: Record, blocks: Sequence[bytes]) -> bool:
        """Keep it: durable and whole, or not at all. Whether it is kept. Replaces pieces of
        another generation of the object."""
        ...

    def forget(self, name: ObjectName) -> None:
        """Drop all pieces of it, variants too, before anybody can ask again; also such as are
        being saved just now, and such as the index does not know yet."""
        ...

    async def forget_prefix(self, bucket: str, prefix: str) -> int:
        """Likewise for every key that begins with `prefix` ('': all), before it waits for anything;
        how many objects that was, as far as known."""
        ...

    async def settle(self) -> bool:
        """Returns when what was forgotten so far stays so, even if the process is killed or the
        machine stops right then: for who is to tell a client that its write is done. False where
        the disk would not have it; there is nothing more to be done about that then."""
        ...

    def confirm(self, name: ObjectName, coding: str, record: Record) -> None:
        """S3 has said, when `record` was confirmed, that the object still is that generation. No
        I/O, and nothing where it is another that is kept."""
        ...
