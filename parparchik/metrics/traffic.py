"""What this process has answered: plain numbers that every plane adds to."""

from __future__ import annotations

from parparchik.metrics.histogram import Histogram


class Counter:
    """Requests of one kind that were answered with one status. `observe` is given their seconds,
    where somebody wants to know these."""

    __slots__ = ("_observe", "count")

    def __init__(self, histogram: Histogram | None) -> None:
        self.count = 0
        self._observe = None if histogram is None else histogram.observe

    def add(self, seconds: float) -> None:
        """Count one answered request; `seconds` from its arrival to the end of its answer."""
        self.count += 1
        if self._observe is not None:
            self._observe(seconds)


class Traffic:
    """Requests by kind and status, and how long redirects took.

    The kinds are what the planes name their answers (`Answer.kind`), never anything that a client
    chose: the number of counters is bounded by the code.
    """

    __slots__ = ("_counters", "redirect_seconds")

    def __init__(self) -> None:
        self._counters: dict[tuple[str, int], Counter] = {}
        self.redirect_seconds = Histogram()

    def counter(self, kind: str, status: int) -> Counter:
        """The one counter of this kind and status; may be kept."""
        counter = self._counters.get((kind, status))
        if counter is None:
            histogram = self.redirect_seconds if status == 302 else None
            counter = self._counters[kind, status] = Counter(histogram)
        return counter

    def requests(self) -> tuple[tuple[str, int, int], ...]:
        """(kind, status, count), sorted; what was never counted is left out."""
        return tuple(
            (kind, status, counter.count)
            for (kind, status), counter in sorted(self._counters.items())
            if counter.count
        )
