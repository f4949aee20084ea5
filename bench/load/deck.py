"""Requests and what must come back, and in what order they are asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer must be. Of a Location, what stands before the `?` is compared: presigned
    queries change. `location` empty: whatever a key's first answer had. None: not looked at.
    `body_bytes`: how long the body must be; `body`: what it must be, where the load looks at that
    (HTTP/1.1, and not `bulk`). None of either: not looked at."""

    status: int = 200
    location: str | None = None
    body_bytes: int | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What a PUT sends: `body`, so small that it goes out with its head, and the headers that
    describe it. Content-Length is not among them."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: GET of an encoded path, and what must come back. With `put_bytes` it is a PUT
    of so many bytes, zeros all of them; with `sent` a PUT of that."""

    path: str
    expected: Expected
    put_bytes: int = 0
    sent: Sent | None = None


class Deck(Protocol):
    """Where the requests come from. A deck is a value: it is sent to the load processes."""

    @property
    def repeats(self) -> bool:
        """Whether the same Ask objects come again: what was learnt of their answers is kept."""

    def deal(self, process: int, processes: int) -> Iterator[Ask]:
        """The requests of one process of so many, without end, always the same ones."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The same requests over and over; each process begins elsewhere."""

    asks: tuple[Ask, ...]
    repeats: ClassVar[bool] = True

    def deal(self, process: int, processes: int) -> Iterator[Ask]:
        start = len(self.asks) * process // processes
        asks = self.asks[start:] + self.asks[:start]
        while True:
            yield from asks


@dataclass(frozen=True, slots=True)
class Family:
    """Requests that differ in a number: `{n}` in path and Location, or `{n:07}`."""

    path: str
    expected: Expected
    first: int = 0
    count: int = 1 << 60
    put_bytes: int = 0

    def ask(self, number: int) -> Ask:
        expected = self.expected
        if expected.location:
            expected = replace(expected, location=expected.location.format(n=number))
        return Ask(self.path.format(n=number), expected, self.put_bytes)


@dataclass(frozen=True, slots=True)
class Counting:
    """Every request of a family once, in order."""

    family: Family
    repeats: ClassVar[bool] = False

    def deal(self, process: int, processes: int) -> Iterator[Ask]:
        family = self.family
        for number in range(family.first + process, family.first + family.count, processes):
            yield family.ask(number)


@dataclass(frozen=True, slots=True)
class Zipf:
    """Requests of some families with the popularity of Zipf's law: the k-th most popular one is
    asked for in proportion to 1/k**exponent. Which one that is has been shuffled; `drawn` of them
    are drawn, and then come again in that order."""

    families: tuple[Family, ...]
    exponent: float = 1.0
    drawn: int = 1 << 17
    repeats: ClassVar[bool] = True

    def deal(self, process: int, processes: int) -> Iterator[Ask]:
        numbers = [
            (family, number)
            for family in self.families
            for number in range(family.first, family.first + family.count)
        ]
        random.Random(1).shuffle(numbers)
        weights = accumulate(1 / rank**self.exponent for rank in range(1, len(numbers) + 1))
        draw = random.Random(2 + process)
        drawn = draw.choices(range(len(numbers)), cum_weights=list(weights), k=self.drawn)
        asks = {index: numbers[index][0].ask(numbers[index][1]) for index in drawn}
        while True:
            for index in drawn:
                yield asks[index]
