"""Whether a bucket's S3 answers: a circuit breaker, so that an outage costs each request nothing.

After a few failures in a row nobody waits for S3 any more: known routes are answered stale at
once, unknown keys with 503, and one request now and then tries again. The first success closes
the circuit. Pure: `now_s` is monotonic time.
"""

from __future__ import annotations

FAILURES_TO_OPEN = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0


class Health:
    """One bucket's circuit. Only failures to answer count (UpstreamError's Unavailable): a
    refusal is an answer."""

    __slots__ = ("_failures", "_next_try_s", "failing_since_s", "last_error")

    def __init__(self) -> None:
        self.last_error = ""
        # When S3 first failed or refused after its last good answer; None while it answers.
        self.failing_since_s: float | None = None
        self._failures = 0
        self._next_try_s = 0.0

    @property
    def reachable(self) -> bool:
        """Whether the last attempt was answered."""
        return self._failures == 0

    @property
    def untroubled(self) -> bool:
        """Whether all was well the last time."""
        return self.failing_since_s is None

    def admits(self, now_s: float) -> bool:
        """Whether S3 may be asked now. While the circuit is open one caller per pause may; the
        call itself takes that place."""
        if self._failures < FAILURES_TO_OPEN:
            return True
        if now_s < self._next_try_s:
            return False
        self._next_try_s = now_s + self._pause_s()
        return True

    def succeeded(self) -> None:
        if self.failing_since_s is None:
            return
        self._failures = 0
        self.last_error = ""
        self.failing_since_s = None

    def failed(self, now_s: float, reason: str) -> None:
        self._failures += 1
        self._next_try_s = now_s + self._pause_s()
        self._note(now_s, reason)

    def refused(self, now_s: float, reason: str) -> None:
        """S3 answered, but not with what was asked for: reachable, with an error to show."""
        self._failures = 0
        self._note(now_s, reason)

    def failing_for_s(self, now_s: float) -> float:
        """How long S3 has given no good answer."""
        return 0.0 if self.failing_since_s is None else now_s - self.failing_since_s

    def retry_after_s(self, now_s: float) -> int:
        """Whole seconds, at least 1, until asking again may help."""
        return max(1, round(self._next_try_s - now_s))

    def _note(self, now_s: float, reason: str) -> None:
        self.last_error = reason
        if self.failing_since_s is None:
            self.failing_since_s = now_s

    def _pause_s(self) -> float:
        doublings = min(max(self._failures - FAILURES_TO_OPEN, 0), 10)
        return min(FIRST_PAUSE_S * (1 << doublings), LONGEST_PAUSE_S)
