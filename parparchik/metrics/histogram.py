"""A histogram that costs one bisection per observation and no allocation.

Counting goes on at every request; turning counts into Prometheus samples only at a scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

LATENCY_BOUNDS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
)  # fmt: skip
"""From a prepared answer (a tenth of a millisecond) to a request that waited for a dying S3."""

SIZE_BOUNDS_BYTES = (
    0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20,
    256 << 20, 1 << 30, 4 << 30,
)  # fmt: skip
"""Bodies, from none at all."""


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """`cumulative[i]` observations were at most `bounds[i]`; the last one counts all of them."""

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]
    total: float


class Histogram:
    """Counts observations by upper bound (inclusive, as Prometheus' `le`)."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> HistogramSnapshot:
        return HistogramSnapshot(self._bounds, tuple(accumulate(self._counts)), self._total)
