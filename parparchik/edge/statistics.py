"""What the edge has seen, in plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """`open` are connections now; all else counts since the start. `refused` is by reason (a
    fixed set), `timed_out` by what was waited for, `memoised` the request heads known now.
    `truncated` are answers that were broken off because the rest of their body did not come."""

    open: int
    accepted: int
    handed_over: int
    accept_pauses: int
    truncated: int
    memoised: int
    refused: tuple[tuple[str, int], ...]
    timed_out: tuple[tuple[str, int], ...]


class Counts:
    """The numbers, while they grow."""

    __slots__ = ("accept_pauses", "accepted", "handed_over", "refused", "timed_out", "truncated")

    def __init__(self) -> None:
        self.accepted = 0
        self.handed_over = 0
        self.accept_pauses = 0
        self.truncated = 0
        self.refused: Counter[str] = Counter()
        self.timed_out: Counter[str] = Counter()

    def snapshot(self, *, open_now: int, accept_pauses: int, memoised: int) -> EdgeStatistics:
        """`accept_pauses` are those of the run that has not ended."""
        return EdgeStatistics(
            open=open_now,
            accepted=self.accepted,
            handed_over=self.handed_over,
            accept_pauses=self.accept_pauses + accept_pauses,
            truncated=self.truncated,
            memoised=memoised,
            refused=tuple(sorted(self.refused.items())),
            timed_out=tuple(sorted(self.timed_out.items())),
        )
