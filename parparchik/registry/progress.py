"""How far the start-up is: written by the registry, shown by whoever has a screen."""

from __future__ import annotations


class Progress:
    """`phase` is a few words; `total` is 0 while nobody knows it."""

    __slots__ = ("done", "phase", "total")

    def __init__(self) -> None:
        self.phase = "starting"
        self.done = 0
        self.total = 0

    def begin(self, phase: str, total: int = 0) -> None:
        self.phase, self.done, self.total = phase, 0, total

    def advance(self, count: int = 1) -> None:
        self.done += count
