"""Whether the disk takes what it is given: a circuit, so that a full or broken one costs nothing.

A failure stops all writing for a pause; then one attempt is let through. The log is told when it
begins and when it is over, not of every failure in between.
"""

from __future__ import annotations

import math

import structlog
import trio

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger(__name__)


class Trouble:
    """`what` is what the disk cache does not do meanwhile, for the log."""

    __slots__ = (
        *("_directory", "_failed_at_s", "_next_try_s", "_pause_s", "_trying", "_what"),
        *("failures", "reason"),
    )

    def __init__(self, what: str, directory: str) -> None:
        self.failures = 0
        self.reason = ""  # of the last failure, '' when all is well
        self._what = what
        self._directory = directory
        self._failed_at_s = -math.inf
        self._next_try_s = 0.0
        self._pause_s = 0.0
        self._trying = False

    @property
    def pause_s(self) -> float:
        """How long until the next attempt."""
        return max(0.0, self._next_try_s - trio.current_time())

    def admits(self) -> bool:
        """Whether to try now. In trouble one attempt per pause is admitted; the call itself takes
        its place."""
        if not self.reason:
            return True
        now_s = trio.current_time()
        if now_s < self._next_try_s:
            return False
        self._next_try_s = now_s + self._pause_s
        self._trying = True
        return True

    def failed(self, error: Exception) -> None:
        self.failures += 1
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        now_s = trio.current_time()
        if not self.reason:
            log.warning(f"disk cache: {self._what}", reason=reason, directory=self._directory)
            # Trouble that comes and goes is not told, nor tried, more and more often.
            again = now_s - self._failed_at_s < LONGEST_PAUSE_S
            self._pause_s = self._longer() if again else FIRST_PAUSE_S
        elif self._trying:  # else it was begun before the trouble was known
            self._pause_s = self._longer()
        self.reason = reason
        self._trying = False
        self._failed_at_s = now_s
        self._next_try_s = now_s + self._pause_s

    def succeeded(self) -> bool:
        """Whether that ends it. What was begun before the trouble does not."""
        if not self.reason:
            return False
        if not self._trying and trio.current_time() < self._next_try_s:
            return False
        self.reason = ""
        self._trying = False
        log.warning(f"disk cache: no longer {self._what}", directory=self._directory)
        return True

    def _longer(self) -> float:
        return min(2 * self._pause_s, LONGEST_PAUSE_S)
