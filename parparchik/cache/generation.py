"""An object as it was once, and an object as the cache knows it now.

An `Entry` that is no longer live is forgotten: what was begun for it, a request to S3 above all,
goes on for those who asked before, and leaves nothing behind. So the entry itself is the generation
number that a write raises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from parparchik.cache.flight import Flight
from parparchik.cache.passage import Passage
from parparchik.cache.piece import Piece
from parparchik.cache.purge import Purges
from parparchik.cache.tiers import PieceName, Record
from parparchik.cache.types import Coding, Found, Status
from parparchik.content import ObjectName, Representation, Span
from parparchik.errors import UpstreamError

CLOCK_STEP_S = 1.0
"""By less a clock that is right may be set back."""
ENTRY_BYTES = 2000
"""What is known of an object costs this in memory, beside the names and values of its headers."""


class Changed(UpstreamError):
    """S3 has another object by now, or none."""


class Reading(Protocol):
    """A reader of a generation: the piece that it is in, and the last that it wants."""

    @property
    def index(self) -> int: ...
    @property
    def last_index(self) -> int: ...


class Filling(Protocol):
    """A fill, as readers see it."""

    opened: Flight[None]

    def reaches(self, index: int) -> bool:
        """Whether it will soon have begun that piece."""
        ...

    async def turn(self) -> None:
        """Until it begins a piece, or ends. Raises what it ended with."""
        ...

    def ring(self) -> None:
        """A reader has moved, come or gone."""
        ...


class Remembered(Found, Protocol):
    """What is given again and again while nothing changes."""

    @property
    def generation(self) -> Generation: ...
    @property
    def fresh_from_s(self) -> float: ...
    @property
    def fresh_until_s(self) -> float: ...


class Supply(Protocol):
    """Where a generation's missing pieces come from."""

    def begin(self, generation: Generation, first: int, last: int) -> Filling:
        """A fill from the piece `first` on, up to `last` where that is wanted and not there."""
        ...

    async def fetch(self, generation: Generation, span: Span) -> bytes:
        """No more than a megabyte, for one reader alone."""
        ...


class Generation:
    """`coding` is '' for the object as S3 has it; a variant's `source` is what it was made from.

    `identity` is what the disk knows it by: `representation` may have got newer headers since.
    """

    __slots__ = (
        "coding",
        "confirmed_at_s",
        "count",
        "entry",
        "fills",
        "identity",
        "pieces",
        "readers",
        "representation",
        "slice_bytes",
        "source",
        "supply",
        "variants",
    )

    def __init__(
        self, entry: Entry, record: Record, supply: Supply, *, coding: Coding | None = None
    ) -> None:
        self.entry = entry
        self.coding: str = coding or ""
        self.source: Generation | None = entry.generation if coding else None
        self.identity = record
        self.representation = record.representation
        self.confirmed_at_s = record.confirmed_at_s
        self.slice_bytes = record.slice_bytes
        self.count = max(1, -(-record.representation.size_bytes // record.slice_bytes))
        self.supply = supply
        self.pieces: dict[int, Piece] = {}
        self.fills: list[Filling] = []
        self.readers: set[Reading] = set()
        self.variants: dict[Coding, Generation | None] = {}  # None: it is not smaller

    @property
    def current(self) -> bool:
        """Whether it is what is given to who asks now."""
        if self.source is not None:
            return self.source.current and self in self.source.variants.values()
        return self.entry.live and self.entry.generation is self

    @property
    def size_bytes(self) -> int:
        return self.representation.size_bytes

    @property
    def record(self) -> Record:
        return replace(self.identity, confirmed_at_s=self.confirmed_at_s)

    @property
    def if_match(self) -> str:
        """What a request for more of it demands: a weak ETag never matches (RFC 9110 section
        13.1.1), so what comes is looked at instead."""
        etag = self.representation.etag
        return "" if etag.startswith("W/") else etag

    @property
    def body(self) -> bytes | None:
        piece = self.pieces.get(0)
        if piece is None or not piece.whole or self.count > 1 or len(piece.blocks) != 1:
            return None
        return piece.blocks[0]

    def is_same(self, representation: Representation) -> bool:
        """Whether its bytes are those of this generation."""
        return self.representation.is_same(representation)

    def piece_name(self, index: int) -> PieceName:
        return PieceName(self.entry.name, self.coding, index)

    def span_of(self, index: int) -> Span:
        """Of an empty object's only piece (0, -1)."""
        first = index * self.slice_bytes
        return Span(first, min(first + self.slice_bytes, self.size_bytes) - 1)

    def pieces_of(self, span: Span) -> tuple[int, int]:
        """The first and the last that have bytes of a span, which is not empty."""
        last = min(span.last, self.size_bytes - 1)
        return span.first // self.slice_bytes, last // self.slice_bytes

    def begin(self, index: int) -> Piece:
        """A growing piece, held by who makes it."""
        piece = Piece(index, self.span_of(index).size_bytes, self._lose)
        self.pieces[index] = piece
        return piece

    def filling(self, index: int) -> Filling | None:
        return next((fill for fill in self.fills if fill.reaches(index)), None)

    def moved(self) -> None:
        """A reader has moved, come or gone."""
        for fill in self.fills:
            fill.ring()

    def confirm(self, representation: Representation, at_s: float) -> None:
        """S3, asked at that time, has said that it is still this."""
        age_s = self.representation.age_s
        if representation != self.representation or representation.age_s != age_s:
            self.representation = representation
        self.confirmed_at_s = max(self.confirmed_at_s, at_s)
        self.entry.founds.clear()

    def correct(self, fresh_s: float, now_s: float) -> None:
        """Where it was confirmed at a time that has not come yet, the clock has been set back:
        nobody knows how long ago that was, and what is fresh for `fresh_s` is not any more."""
        if self.confirmed_at_s > now_s + CLOCK_STEP_S:
            self.confirmed_at_s = now_s - fresh_s
            self.entry.founds.clear()

    def _lose(self, piece: Piece) -> None:
        if self.pieces.get(piece.index) is piece:
            del self.pieces[piece.index]
        self.entry.founds.clear()


@dataclass(frozen=True, slots=True)
class Heard:
    """What S3 said when it was asked. `generation`: what is kept; None with `representation` None:
    there is no such object. A representation without a generation is not kept, and `passage` is
    its bytes, for who asked first."""

    status: Status
    generation: Generation | None = None
    representation: Representation | None = None
    passage: Passage | None = None


class Entry:
    """All that is known of an object. `passing` is what S3 last said of it where that may not be
    kept. `failed_at_s`: when S3 was last asked in vain, None where it answered since. `founds` by
    the identity of the policy, which they hold on to.
    """

    __slots__ = (
        *("_age", "_purges", "failed_at_s", "flight", "forgotten", "founds", "generation", "name"),
        "passing",
    )

    def __init__(self, name: ObjectName, purges: Purges) -> None:
        self.name = name
        self.forgotten = False
        self._purges = purges
        self._age = purges.age
        self.generation: Generation | None = None
        self.passing: Representation | None = None
        self.flight: Flight[Heard] | None = None
        self.failed_at_s: float | None = None
        self.founds: dict[int, Remembered] = {}

    @property
    def live(self) -> bool:
        if self._purges and self._purges.find(self.name, self._age) is not None:
            return False
        return not self.forgotten

    @property
    def cost_bytes(self) -> int:
        cost = ENTRY_BYTES + len(self.name.bucket) + len(self.name.key)
        known = self.generation.representation if self.generation is not None else self.passing
        if known is not None:
            cost += sum(len(name) + len(value) + 100 for name, value in known.headers)
        return cost
