"""What came of a load: how many, how soon, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

import msgspec

from bench.load.histogram import Histogram

ErrorKind = Literal[
    "connect",
    "reset",
    "time-out",
    "wrong status",
    "wrong Location",
    "wrong length",
    "wrong body",
    "short answer",
    "bad answer",
]
"""`connect`: no connection. `reset`: it ended without an answer. `time-out`: no whole answer in
time. `short answer`: it ended within an answer. `bad answer`: that is not HTTP."""

ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(slots=True)
class Outcome:
    """`requests` were answered as expected, and `latency` is theirs; what went wrong is in
    `errors` alone. `seconds` is the time measured, warm-up left out. `statuses` counts every
    whole answer. `cpu_s` is the load's own processor time. `body_bytes` came or went in bodies,
    those under way at the end too; counted by a load that is `bulk`, and by wrk."""

    requests: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    errors: Counter[ErrorKind] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    body_bytes: int = 0

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())

    def merge(self, other: Outcome) -> None:
        """Add what another process did at the same time."""
        self.requests += other.requests
        self.body_bytes += other.body_bytes
        self.seconds = max(self.seconds, other.seconds)
        self.cpu_s += other.cpu_s
        self.latency.merge(other.latency)
        self.errors += other.errors
        self.statuses += other.statuses


class Report(msgspec.Struct):
    """An Outcome on its way between processes."""

    requests: int
    seconds: float
    cpu_s: float
    counts: list[tuple[int, int]]
    max_ns: int
    total_ns: int
    errors: dict[ErrorKind, int]
    statuses: dict[int, int]
    body_bytes: int = 0

    @classmethod
    def of(cls, outcome: Outcome) -> Report:
        latency = outcome.latency
        return cls(
            outcome.requests,
            outcome.seconds,
            outcome.cpu_s,
            list(latency.nonzero()),
            latency.max_ns,
            latency.total_ns,
            dict(outcome.errors),
            dict(outcome.statuses),
            outcome.body_bytes,
        )

    def outcome(self) -> Outcome:
        return Outcome(
            self.requests,
            self.seconds,
            self.cpu_s,
            Histogram.of(self.counts, max_ns=self.max_ns, total_ns=self.total_ns),
            Counter(self.errors),
            Counter(self.statuses),
            self.body_bytes,
        )
