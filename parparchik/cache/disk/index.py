"""Which pieces are on disk, and in which order they were last used. No I/O.

Pieces of one object and coding are of one generation: one of another replaces them all.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from parparchik.cache.disk.format import file_name, same_generation
from parparchik.cache.purge import Purge, Purges
from parparchik.cache.tiers import PieceName, Record
from parparchik.content import ObjectName

if TYPE_CHECKING:
    from parparchik.cache.disk.handles import Handle


class Generation:
    """`live`: something of it was saved since the process began. `age` is for purges."""

    __slots__ = ("age", "coding", "live", "name", "pieces", "record")

    def __init__(self, name: ObjectName, coding: str, record: Record, age: int) -> None:
        self.age = age
        self.name = name
        self.coding = coding
        self.record = record
        self.live = False
        self.pieces: dict[int, Entry] = {}


class Entry:
    """One piece. `checked`: its hash is known to be right. `touched_s` is the file's time, which
    tells the next process when it was used. `handle` is there while its file is open."""

    __slots__ = (
        *("checked", "cost_bytes", "data_bytes", "generation", "handle", "indexed", "number"),
        "touched_s",
    )

    def __init__(
        self,
        generation: Generation,
        number: int,
        *,
        data_bytes: int,
        cost_bytes: int,
        checked: bool,
        touched_s: float,
    ) -> None:
        self.generation = generation
        self.number = number
        self.data_bytes = data_bytes
        self.cost_bytes = cost_bytes
        self.checked = checked
        self.touched_s = touched_s
        self.indexed = True
        self.handle: Handle | None = None

    @property
    def piece(self) -> PieceName:
        return PieceName(self.generation.name, self.generation.coding, self.number)

    @property
    def file_name(self) -> str:
        return file_name(self.piece)

    @property
    def being_read(self) -> bool:
        return self.handle is not None and self.handle.readers > 0


class Index:
    """What one of the `purges` has taken is no longer found, and leaves when it is removed."""

    __slots__ = ("_by_use", "_objects", "cost_bytes", "purges")

    def __init__(self) -> None:
        self.cost_bytes = 0
        self.purges = Purges()
        self._objects: dict[ObjectName, dict[str, Generation]] = {}
        self._by_use: OrderedDict[Entry, None] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._by_use)

    def generation(self, name: ObjectName, coding: str) -> Generation | None:
        codings = self._objects.get(name)
        generation = codings.get(coding) if codings is not None else None
        if generation is not None and self.purges and self._purge_of(generation) is not None:
            return None
        return generation

    def find(self, piece: PieceName, record: Record | None = None) -> Entry | None:
        """The piece, of the generation that `record` is of."""
        generation = self.generation(piece.name, piece.coding)
        if generation is None or not (record is None or same_generation(generation.record, record)):
            return None
        return generation.pieces.get(piece.number)

    def add(
        self,
        piece: PieceName,
        record: Record,
        *,
        data_bytes: int,
        cost_bytes: int,
        live: bool,
        touched_s: float,
    ) -> Entry:
        """A piece that is not there yet, of the generation that is, if there is one. One that was
        saved is the most recently used; one that was found, the least."""
        codings = self._objects.setdefault(piece.name, {})
        generation = codings.get(piece.coding)
        if generation is None:
            generation = codings[piece.coding] = Generation(
                piece.name, piece.coding, record, self.purges.age
            )
        generation.live |= live
        self._confirm(generation, record)
        entry = generation.pieces[piece.number] = Entry(
            generation,
            piece.number,
            data_bytes=data_bytes,
            cost_bytes=cost_bytes,
            checked=live,
            touched_s=touched_s,
        )
        self._by_use[entry] = None
        if not live:
            self._by_use.move_to_end(entry, last=False)
        self.cost_bytes += cost_bytes
        return entry

    def confirm(self, name: ObjectName, coding: str, record: Record) -> None:
        """S3 says that it still is what it was."""
        generation = self.generation(name, coding)
        if generation is not None and same_generation(generation.record, record):
            self._confirm(generation, record)

    def use(self, entry: Entry) -> None:
        self._by_use.move_to_end(entry)

    def remove(self, entry: Entry) -> None:
        entry.indexed = False
        del self._by_use[entry]
        self.cost_bytes -= entry.cost_bytes
        generation = entry.generation
        del generation.pieces[entry.number]
        if not generation.pieces:
            codings = self._objects[generation.name]
            del codings[generation.coding]
            if not codings:
                del self._objects[generation.name]

    def least_recently_used(self) -> Entry | None:
        """Which to drop first: one that is being read would give nothing back."""
        return next((entry for entry in self._by_use if not entry.being_read), None)

    def pieces_of(self, name: ObjectName) -> Iterator[Entry]:
        for generation in self._objects.get(name, {}).values():
            yield from generation.pieces.values()

    def purged_pieces_of(self, name: ObjectName) -> Iterator[Entry]:
        for generation in self._objects.get(name, {}).values():
            if self._purge_of(generation) is not None:
                yield from generation.pieces.values()

    def was_taken_by(self, purge: Purge, name: ObjectName) -> bool:
        generations = self._objects.get(name, {}).values()
        return any(self._purge_of(generation) is purge for generation in generations)

    def names(self) -> list[ObjectName]:
        return list(self._objects)

    def _purge_of(self, generation: Generation) -> Purge | None:
        return self.purges.find(generation.name, generation.age)

    @staticmethod
    def _confirm(generation: Generation, record: Record) -> None:
        known = generation.record
        if record.confirmed_at_s > known.confirmed_at_s:
            generation.record = dataclasses.replace(known, confirmed_at_s=record.confirmed_at_s)
