"""What is known and held in memory: objects, their pieces, and what is known not to exist."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import trio

from parparchik.cache.generation import Entry, Generation
from parparchik.cache.lru import Lru
from parparchik.cache.piece import Piece
from parparchik.cache.purge import AT_ONCE, Purge, Purges
from parparchik.content import ObjectName

ENTRIES_MIN_BYTES = 65_536
"""What is known of objects has this much room in any case: without it no disk could be used."""


class Memory:
    """Pieces and what is known of objects cost bytes under one budget; of two that were used at
    the same time a piece goes before its object. Objects that S3 is just being asked about, and of
    which nothing is known yet, are `entries` too, and cost nothing. `evicted_at_s` is when room was
    last made, by the wall clock `now`; 0 before."""

    __slots__ = (
        "_budget_bytes",
        "_lru",
        "_negative_max",
        "_negatives",
        "_now",
        "_owners",
        "entries",
        "evicted_at_s",
        "purges",
        "touch",
    )

    def __init__(
        self, budget_bytes: int, negative_max: int, now: Callable[[], float] = time.time
    ) -> None:
        self._lru: Lru[Entry | Piece] = Lru(max(budget_bytes, ENTRIES_MIN_BYTES), self._evicted)
        self._budget_bytes = budget_bytes
        self._now = now
        self.evicted_at_s = 0.0
        self._owners: dict[Piece, Generation] = {}
        self._negative_max = negative_max
        self._negatives: OrderedDict[ObjectName, float] = OrderedDict()
        self.entries: dict[ObjectName, Entry] = {}
        self.purges = Purges()
        self.touch = self._lru.touch

    def __len__(self) -> int:
        return len(self._lru)

    @property
    def used_bytes(self) -> int:
        return self._lru.used_bytes

    @property
    def evictions(self) -> int:
        return self._lru.evictions

    @property
    def negatives(self) -> int:
        return len(self._negatives)

    def find(self, name: ObjectName) -> Entry | None:
        entry = self.entries.get(name)
        if entry is not None and not entry.live:  # a purge has taken it
            self.detach(entry)
            return None
        return entry

    def make(self, name: ObjectName) -> Entry:
        """The entry of an object that has none."""
        entry = self.entries[name] = Entry(name, self.purges)
        return entry

    def charge(self, entry: Entry) -> None:
        """What is known of it has changed. Where that has no room at all it is forgotten."""
        if entry.live and not self._lru.add(entry, entry.cost_bytes):
            self.detach(entry)

    def retain(self, generation: Generation, piece: Piece) -> bool:
        """Hold a whole piece, as long as there is room. Not one of what nobody is given now."""
        entry = generation.entry
        if not generation.current or piece in self._lru:
            return False
        if piece.cost_bytes + entry.cost_bytes > self._budget_bytes:
            return False
        self._lru.touch(entry)
        piece.hold()
        self._owners[piece] = generation
        self._lru.add(piece, piece.cost_bytes)
        self._lru.touch(entry)
        return True

    def sweep(self, entry: Entry) -> None:
        """Forget an entry of which nothing is known."""
        if entry.generation is None and entry.passing is None and entry.flight is None:
            self.detach(entry)

    def forget(self, name: ObjectName) -> None:
        """Whatever is known of it, that there is none too, and what is on its way."""
        entry = self.entries.get(name)
        if entry is not None:
            self.detach(entry)
        self.may_exist(name)

    def detach(self, entry: Entry) -> None:
        """From now on it is not what is known of the object; what reads it may go on."""
        entry.forgotten = True
        if self.entries.get(entry.name) is entry:
            del self.entries[entry.name]
        self._lru.discard(entry)
        if entry.generation is not None:
            self.retire(entry.generation)

    def retire(self, generation: Generation) -> None:
        """Let go of the pieces of a generation that is not current, unless somebody reads it."""
        generation.entry.founds.clear()
        for variant in generation.variants.values():
            if variant is not None:
                self.retire(variant)
        if not generation.readers:
            for piece in tuple(generation.pieces.values()):
                if self._lru.discard(piece):
                    self._released(piece)

    def absent(self, name: ObjectName, at_s: float) -> None:
        """S3 has said so."""
        self._negatives.pop(name, None)
        self._negatives[name] = at_s
        while len(self._negatives) > self._negative_max:
            self._negatives.popitem(last=False)

    def absent_since(self, name: ObjectName) -> float | None:
        return self._negatives.get(name)

    def may_exist(self, name: ObjectName) -> None:
        self._negatives.pop(name, None)

    def purge(self, bucket: str, prefix: str) -> Purge:
        """Forget all that begins so, from now on; `give_back` has to follow. Of what does not exist
        nothing is known any more: it is good for seconds anyway."""
        self._negatives.clear()
        return self.purges.begin(bucket, prefix)

    async def give_back(self, purge: Purge) -> None:
        """Let go of what it took."""
        for at, entry in enumerate(tuple(self.entries.values())):
            if not at % AT_ONCE:
                await trio.lowlevel.checkpoint()
            if not entry.live:
                self.detach(entry)
        self.purges.end(purge)

    def _evicted(self, item: Entry | Piece) -> None:
        self.evicted_at_s = self._now()
        if isinstance(item, Entry):
            self.detach(item)
        else:
            self._released(item)

    def _released(self, piece: Piece) -> None:
        self._owners.pop(piece, None)
        piece.release()
