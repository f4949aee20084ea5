"""A histogram of latencies: log-linear buckets, as in HdrHistogram.

Every power of two is cut into 128 equal buckets, so a value is known to within 1/128 of itself,
from a nanosecond to 73 minutes, in 4,608 counters whatever the number of requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

SUB_BITS = 7
SUB_BUCKETS = 1 << SUB_BITS
MAX_NS = (1 << 42) - 1  # longer than any run may last
BUCKETS = (42 - SUB_BITS - 1 + 2) * SUB_BUCKETS


def bucket_of(value_ns: int) -> int:
    """The index of the bucket that holds a value of 0 to MAX_NS. The load loop has the same two
    lines in it: a call for each request would cost more than they do."""
    shift = max(value_ns.bit_length() - SUB_BITS - 1, 0)
    return (shift << SUB_BITS) + (value_ns >> shift)


def highest_in(bucket: int) -> int:
    """The highest value, in ns, that goes into a bucket."""
    if bucket < 2 * SUB_BUCKETS:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1


class Histogram:
    """`counts` may be counted in directly; `record` keeps `max_ns` and `total_ns` exact, too."""

    __slots__ = ("counts", "max_ns", "total_ns")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.max_ns = 0
        self.total_ns = 0

    def record(self, value_ns: int) -> None:
        value_ns = min(max(value_ns, 0), MAX_NS)
        self.counts[bucket_of(value_ns)] += 1
        self.total_ns += value_ns
        self.max_ns = max(self.max_ns, value_ns)

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean_ns(self) -> float:
        count = self.count
        return self.total_ns / count if count else 0.0

    def percentile(self, percent: float) -> int:
        """The least value, in ns, that `percent` of all are not above: the exact one to within
        1/128, and never below it. 0 where nothing was recorded."""
        count = self.count
        if not count:
            return 0
        # Rounded, for 99.9 % of 1,000 must be 999 and is 999.0000000000001 in binary.
        wanted = max(-int(-round(count * percent / 100, 6) // 1), 1)
        seen = 0
        for bucket, number in enumerate(self.counts):
            seen += number
            if seen >= wanted:
                return min(highest_in(bucket), self.max_ns)
        return self.max_ns

    def merge(self, other: Histogram) -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def nonzero(self) -> Iterator[tuple[int, int]]:
        """(bucket, count) of those that hold anything: how a histogram travels."""
        return ((bucket, count) for bucket, count in enumerate(self.counts) if count)

    @classmethod
    def of(cls, counts: Iterable[tuple[int, int]], *, max_ns: int, total_ns: int) -> Histogram:
        self = cls()
        for bucket, count in counts:
            self.counts[bucket] += count
        self.max_ns, self.total_ns = max_ns, total_ns
        return self

    @classmethod
    def of_percentiles(cls, points: Iterable[tuple[float, int]], count: int) -> Histogram:
        """What another tool's (percent, ns) points, rising, say of `count` values: each stretch
        between two points is taken to lie at its upper end."""
        self = cls()
        done = 0
        for percent, point_ns in points:
            upto = round(count * percent / 100)
            number, done = upto - done, upto
            value_ns = min(point_ns, MAX_NS)
            self.counts[bucket_of(value_ns)] += number
            self.total_ns += number * value_ns
            self.max_ns = max(self.max_ns, value_ns)
        return self
