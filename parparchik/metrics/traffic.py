"""What this process has answered: plain numbers that every plane adds to."""

from __future__ import annotations

from parparchik.metrics.histogram import Histogram


class Traffic:
    """Requests by kind and status, and how long redirects took.

    The kinds are what the planes name their answers (`Answer.kind`), never anything that a client
    chose: the number of counters is bounded by the code.
    """

    __slots__ = ("_requests", "redirect_seconds")

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self.redirect_seconds = Histogram()

    def record(self, kind: str, status: int, seconds: float) -> None:
        """Count one answered request; `seconds` from its arrival to the end of its answer."""
        counter = (kind, status)
        self._requests[counter] = self._requests.get(counter, 0) + 1
        if status == 302:
            self.redirect_seconds.observe(seconds)

    def requests(self) -> tuple[tuple[str, int, int], ...]:
        """(kind, status, count), sorted."""
        return tuple((kind, status, n) for (kind, status), n in sorted(self._requests.items()))
