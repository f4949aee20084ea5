"""What this process has answered: plain numbers that every plane adds to."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from itertools import accumulate

from parparchik.metrics.histogram import SIZE_BOUNDS_BYTES, Histogram, HistogramSnapshot

REDIRECT = "redirect"


class Counter:
    """Requests of one kind that were answered with one status and a body of about one size."""

    __slots__ = ("_observe", "count", "sent_bytes")

    def __init__(self, histogram: Histogram) -> None:
        self.count = 0
        self.sent_bytes = 0
        self._observe = histogram.observe

    def add(self, seconds: float, size_bytes: int = 0) -> None:
        """Count one answered request; `seconds` from its arrival to the end of its answer, which
        had a body of `size_bytes`."""
        self.count += 1
        self.sent_bytes += size_bytes
        self._observe(seconds)


class Traffic:
    """Requests by kind and status, how long they took, and how much was sent.

    The kinds are what the planes name their answers (`Answer.kind`), never anything that a client
    chose: the number of counters is bounded by the code. Sizes are sorted when an answer is made
    ready, not each time that it is given.
    """

    __slots__ = ("_counters", "_received", "_seconds", "redirect_seconds")

    def __init__(self) -> None:
        self._counters: dict[tuple[str, int, int], Counter] = {}
        self._received = Histogram(SIZE_BOUNDS_BYTES)
        self.redirect_seconds = Histogram()
        self._seconds = {REDIRECT: self.redirect_seconds}

    def counter(self, kind: str, status: int, size_bytes: int = 0) -> Counter:
        """The one counter of this kind and status, and of bodies of the order of `size_bytes`; may
        be kept."""
        key = (kind, status, bisect_left(SIZE_BOUNDS_BYTES, size_bytes))
        counter = self._counters.get(key)
        if counter is None:
            timed = REDIRECT if status == 302 else kind
            counter = Counter(self._seconds.setdefault(timed, Histogram()))
            self._counters[key] = counter
        return counter

    def requests(self) -> tuple[tuple[str, int, int], ...]:
        """(kind, status, count), sorted; what was never counted is left out."""
        counts = Tally[tuple[str, int]]()
        for (kind, status, _), counter in self._counters.items():
            counts[kind, status] += counter.count
        return tuple((*which, count) for which, count in sorted(counts.items()) if count)

    def seconds(self) -> tuple[tuple[str, HistogramSnapshot], ...]:
        """How long requests took: redirects, and everything else by its kind."""
        return tuple((kind, each.snapshot()) for kind, each in sorted(self._seconds.items()))

    def received(self, size_bytes: int) -> None:
        """Count the body of a request that had one."""
        self._received.observe(size_bytes)

    def taken(self) -> HistogramSnapshot:
        """The bytes of the bodies of all requests; most have none."""
        bodies = self._received.snapshot()
        without = max(0, sum(c.count for c in self._counters.values()) - bodies.cumulative[-1])
        cumulative = tuple(count + without for count in bodies.cumulative)
        return HistogramSnapshot(bodies.bounds, cumulative, bodies.total)

    def sent(self) -> HistogramSnapshot:
        """The bytes of the bodies that were sent, those that were broken off as far as they
        came."""
        counts = [0] * (len(SIZE_BOUNDS_BYTES) + 1)
        for (_, _, size), counter in self._counters.items():
            counts[size] += counter.count
        total = sum(counter.sent_bytes for counter in self._counters.values())
        return HistogramSnapshot(SIZE_BOUNDS_BYTES, tuple(accumulate(counts)), total)
