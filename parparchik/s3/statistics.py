"""What the S3 client counts: plain integers, bumped as things happen and read at a scrape.

The counters of all operations and outcomes exist from the start, so that counting allocates nothing
and a scrape shows zeros, not gaps.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, get_args

from parparchik.errors import (
    Denied,
    NotSupported,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
)
from parparchik.s3.failures import Operation
from parparchik.s3.pool import PoolStatistics

Outcome = Literal[
    "ok", "absent", "denied", "conflict", "unsupported", "unavailable", "error", "cancelled"
]

BASIC_OPERATIONS: tuple[Operation, ...] = ("head", "get", "put", "list")
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LATENCY_BOUNDS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip

# The first that fits.
_OUTCOMES_OF_ERRORS: tuple[tuple[type[BaseException], Outcome], ...] = (
    (Denied, "denied"),
    (PreconditionFailed, "conflict"),
    (NotSupported, "unsupported"),
    (Unavailable, "unavailable"),
    (UpstreamError, "error"),
    (Exception, "error"),
    (BaseException, "cancelled"),
)


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """One operation on one bucket, retries included in its seconds.

    `latency_counts[i]` operations took up to `LATENCY_BOUNDS_S[i]` seconds and more than the bound
    before (not cumulative); one more count at the end holds the rest. `seconds` is their sum.
    """

    bucket: str
    operation: Operation
    outcomes: tuple[tuple[Outcome, int], ...]
    latency_counts: tuple[int, ...]
    seconds: float
    retries: int


@dataclass(frozen=True, slots=True)
class S3Statistics:
    """`pools`: each origin (`https://host`) and its connections."""

    operations: tuple[OperationStatistics, ...]
    pools: tuple[tuple[str, PoolStatistics], ...]


class OperationCounter:
    """Counts one operation of one bucket."""

    __slots__ = ("_latencies", "_outcomes", "_seconds", "retries")

    def __init__(self) -> None:
        self._outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self._latencies = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._seconds = 0.0
        self.retries = 0

    def count(self, outcome: Outcome, seconds: float) -> None:
        self._outcomes[outcome] += 1
        self._latencies[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self._seconds += seconds

    def count_retry(self) -> None:
        self.retries += 1

    def snapshot(self, bucket: str, operation: Operation) -> OperationStatistics:
        return OperationStatistics(
            bucket=bucket,
            operation=operation,
            outcomes=tuple(self._outcomes.items()),
            latency_counts=tuple(self._latencies),
            seconds=self._seconds,
            retries=self.retries,
        )


def outcome_of(error: BaseException) -> Outcome:
    return next(outcome for kind, outcome in _OUTCOMES_OF_ERRORS if isinstance(error, kind))
