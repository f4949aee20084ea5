"""What the cache gives of an object that it keeps."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.cache.counters import Counters
from parparchik.cache.generation import CLOCK_STEP_S, Generation
from parparchik.cache.reader import Reader
from parparchik.cache.shelf import Shelf
from parparchik.cache.types import Coding, Policy, Status
from parparchik.content import ObjectName, Representation, Span
from parparchik.model import Content, ReadyContent

PIECES_AT_ONCE = 16
"""Of a span with more pieces, looking whether all are there takes longer than a turn of the loop
should; sending it takes so long that the time for a task is nothing."""


class Giver:
    """What every Found needs to give its body."""

    __slots__ = ("_counters", "_shelf", "now")

    def __init__(self, shelf: Shelf, counters: Counters, now: Callable[[], float]) -> None:
        self._shelf = shelf
        self._counters = counters
        self.now = now

    def read(self, generation: Generation, span: Span) -> Reader:
        return Reader(generation, span, self._shelf, self._counters)

    def read_nowait(self, generation: Generation, span: Span) -> Reader | None:
        """Where all pieces of the span are at hand, and the first can be read at once."""
        first, last = generation.pieces_of(span)
        if last - first >= PIECES_AT_ONCE or not generation.current:
            return None
        for index in range(first + 1, last + 1):  # that the first is there is seen below
            if not self._shelf.has(generation, index):
                return None
        reader = self.read(generation, span)
        if reader.begin_nowait():
            return reader
        reader.close()
        return None


class Kept:
    """A generation, or a variant of it, as found under a policy. `fresh_from_s` and
    `fresh_until_s` by the wall clock: before the former it is one that was set back."""

    __slots__ = (
        "_giver",
        "fresh_from_s",
        "fresh_until_s",
        "generation",
        "name",
        "policy",
        "representation",
        "status",
        "variants",
    )

    def __init__(
        self,
        generation: Generation,
        policy: Policy,
        status: Status,
        fresh_until_s: float,
        giver: Giver,
    ) -> None:
        self._giver = giver
        self.generation = generation
        self.name: ObjectName = generation.entry.name
        self.representation: Representation = generation.representation
        self.policy = policy
        self.status: Status = status
        self.fresh_from_s = generation.confirmed_at_s - CLOCK_STEP_S
        self.fresh_until_s = fresh_until_s
        self.variants: dict[Coding, Kept] = {}

    @property
    def age_s(self) -> int:
        source = self.generation.source or self.generation
        kept_s = max(0, int(self._giver.now() - source.confirmed_at_s))
        return source.representation.age_s + kept_s

    @property
    def fresh_for_s(self) -> float:
        return self.fresh_until_s - self._giver.now()

    @property
    def body(self) -> bytes | None:
        return self.generation.body

    def content(self, span: Span) -> Content:
        return self._giver.read(self.generation, span)

    def content_nowait(self, span: Span) -> ReadyContent | None:
        return self._giver.read_nowait(self.generation, span)

    def variant(self, coding: Coding, generation: Generation) -> Kept:
        """The same for a variant of it: the same one as long as that is."""
        kept = self.variants.get(coding)
        if kept is None or kept.generation is not generation:
            kept = Kept(generation, self.policy, self.status, self.fresh_until_s, self._giver)
            self.variants[coding] = kept
        return kept
