"""How one bucket's operations are run: attempts within a time limit, counted by their outcome."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import httpx
import trio

from parparchik.s3.failures import Operation, unreachable
from parparchik.s3.limit import TimeLimit
from parparchik.s3.retry import Retrier
from parparchik.s3.statistics import (
    BASIC_OPERATIONS,
    OperationCounter,
    OperationStatistics,
    outcome_of,
)

T = TypeVar("T")


class Operations:
    """Those on the bucket called `name`; `total_s` is the time for one that has no other.

    Counted are the four that every bucket knows, and more once `also` has named them: a bucket
    that is never written by parts has no use for their zeros.
    """

    __slots__ = ("_counters", "_name", "retrier", "total_s")

    def __init__(self, name: str, retrier: Retrier, *, total_s: float) -> None:
        self.retrier = retrier
        self._name = name
        self.total_s = total_s
        self._counters = {operation: OperationCounter() for operation in BASIC_OPERATIONS}

    def also(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            self._counters.setdefault(operation, OperationCounter())

    def counter(self, operation: Operation) -> OperationCounter:
        return self._counters[operation]

    def statistics(self) -> tuple[OperationStatistics, ...]:
        return tuple(
            counter.snapshot(self._name, operation) for operation, counter in self._counters.items()
        )

    def succeeded(self, operation: Operation, begun_s: float) -> None:
        """One that was not run here, at its first attempt."""
        self.retrier.succeeded()
        self._counters[operation].count("ok", trio.current_time() - begun_s)

    async def run(
        self,
        operation: Operation,
        attempt: Callable[[], Awaitable[T]],
        *,
        total_s: float | None = None,
        attempt_s: float = math.inf,
        begun_s: float | None = None,
        limit: TimeLimit | None = None,
    ) -> T:
        """Attempts until one counts; time and count begin at (monotonic) `begun_s`, or now. `limit`
        is for an attempt that itself begins it."""
        counter = self._counters[operation]
        started_s = trio.current_time() if begun_s is None else begun_s
        try:
            result = await self.retrier.run(
                partial(self._attempt, operation, attempt),
                total_s=self.total_s if total_s is None else total_s,
                attempt_s=attempt_s,
                on_retry=counter.count_retry,
                begun_s=started_s,
                limit=limit,
            )
        except BaseException as error:
            counter.count(outcome_of(error), trio.current_time() - started_s)
            raise
        counter.count("absent" if result is None else "ok", trio.current_time() - started_s)
        return result

    async def _attempt(self, operation: Operation, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except httpx.HTTPError as error:
            raise unreachable(error, operation, self._name) from error
