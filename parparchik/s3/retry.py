"""Trying again, without making an outage worse.

Only what is worth it is tried again (`Transient`), and only requests that may be repeated: every
S3 operation of ours is idempotent. Between tries lies a random part of an exponentially growing
pause ("full jitter"), so that those who failed together do not come back together, or as long as
S3 asked for. Retries are paid for from a budget that all requests to one endpoint share, and that
only successes refill: when everything fails, everything is tried once.

The scheme is that of the AWS SDKs' standard mode; the numbers are named below.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from parparchik.errors import Unavailable
from parparchik.s3.limit import TimeLimit

T = TypeVar("T")

BUDGET_MAX = 500
RETRY_COST = 5
SUCCESS_REFUND = 1
BACKOFF_BASE_S = 0.1
BACKOFF_MAX_S = 5.0
RETRY_AFTER_MAX_S = 20.0  # a server that asks for longer is tried again after this


class NoAnswer(Unavailable):
    """S3 gives no usable answer. The message names its address, which not every client may know."""

    @property
    def client_message(self) -> str:
        return "S3 gives no answer at present"


class Transient(NoAnswer):
    """A failure that another try may mend; `retry_after_s` is S3's own wish, if `asked`."""

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message, retry_after_s=1 if retry_after_s is None else retry_after_s)
        self.asked = retry_after_s is not None


class RetryBudget:
    """A bucket of tokens for one endpoint."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens = BUDGET_MAX

    def spend(self) -> bool:
        """Whether a retry may happen; it is paid for then."""
        if self._tokens < RETRY_COST:
            return False
        self._tokens -= RETRY_COST
        return True

    def refund(self) -> None:
        """A request succeeded."""
        if self._tokens < BUDGET_MAX:
            self._tokens += SUCCESS_REFUND


class Retrier:
    """Runs attempts against one endpoint. `retries` comes on top of the first attempt."""

    __slots__ = ("_budget", "_random", "_retries")

    def __init__(
        self,
        retries: int,
        budget: RetryBudget,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._budget = budget
        self._random = uniform

    def succeeded(self) -> None:
        """Something that was not run here succeeded at its first attempt."""
        self._budget.refund()

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        total_s: float,
        attempt_s: float = math.inf,
        on_retry: Callable[[], None] = lambda: None,
        begun_s: float | None = None,
        limit: TimeLimit | None = None,
    ) -> T:
        """What `attempt` returns, within `total_s` from now or from (monotonic) `begun_s`; one
        attempt gets `attempt_s` at most. `limit` is for an attempt that itself begins it.

        Raises what the last attempt raised, or Unavailable when time is up.
        """
        now_s = trio.current_time()
        end_s = (now_s if begun_s is None else begun_s) + total_s
        retried = 0
        while True:
            try:
                with _limited(min(end_s, now_s + attempt_s), limit):
                    result = await attempt()
                    self._budget.refund()
                    return result
                failure = Transient(f"S3 gave no answer within {min(attempt_s, total_s):g} s")
            except Transient as error:
                failure = error
            pause_s = self._pause_s(retried, failure)
            if (
                retried >= self._retries
                or trio.current_time() + pause_s >= end_s
                or not self._budget.spend()
            ):
                raise failure
            retried += 1
            on_retry()
            await trio.sleep(pause_s)
            now_s = trio.current_time()

    def _pause_s(self, retried: int, failure: Transient) -> float:
        pause_s = self._random() * min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0**retried)
        if failure.asked:
            return max(pause_s, min(failure.retry_after_s, RETRY_AFTER_MAX_S))
        return pause_s


def _limited(deadline_s: float, limit: TimeLimit | None) -> TimeLimit | trio.CancelScope:
    if limit is None:
        return trio.CancelScope(deadline=deadline_s)
    limit.deadline_s = deadline_s
    return limit
