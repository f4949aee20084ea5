"""A scenario's result as it is written to JSON; milliseconds and seconds, as the names say."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from bench.load import Outcome, Plan

VERSION = 1
# Ten points for each nine; as far as there are requests to tell.
_CURVE = (0.0, *(round(100 * (1 - 10 ** (-tenths / 10)), 6) for tenths in range(1, 61)))


class Machine(msgspec.Struct, frozen=True):
    python: str
    kernel: str
    processor: str
    processors: int


class Latency(msgspec.Struct, frozen=True):
    """`curve`: (percentile, ms)."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    curve: list[tuple[float, float]]


class Run(msgspec.Struct, frozen=True):
    """One load. `requests` are those answered as expected. `server_cpu_s_per_1000` is None where
    the server is not ours to look into."""

    name: str
    tool: Literal["parparchik", "wrk"]
    loop: Literal["closed", "open"]
    connections: int
    processes: int
    keep_alive: bool
    rate_per_s: float | None
    seconds: float
    requests: int
    requests_per_s: float
    latency: Latency
    errors: dict[str, int]
    statuses: dict[int, int]
    load_cpu_s: float
    server_cpu_s_per_1000: float | None = None


class Figure(msgspec.Struct, frozen=True):
    """A number that is no load's. `goal`: at most so much, or at least."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


class Result(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    scenario: str
    started: str
    target: str
    machine: Machine
    notes: list[str]
    runs: list[Run]
    figures: list[Figure]


def run_of(
    name: str, plan: Plan, outcome: Outcome, *, by_wrk: bool, server_cpu_s: float | None
) -> Run:
    latency, answered = outcome.latency, outcome.requests
    told = [percent for percent in _CURVE if (1 - percent / 100) * answered >= 1]
    return Run(
        name=name,
        tool="wrk" if by_wrk else "parparchik",
        loop="closed" if plan.rate_per_s is None else "open",
        connections=plan.connections,
        processes=plan.processes,
        keep_alive=plan.keep_alive,
        rate_per_s=plan.rate_per_s,
        seconds=round(outcome.seconds, 3),
        requests=answered,
        requests_per_s=round(outcome.per_s, 1),
        latency=Latency(
            mean_ms=round(latency.mean_ns / 1e6, 4),
            p50_ms=latency.percentile(50) / 1e6,
            p90_ms=latency.percentile(90) / 1e6,
            p99_ms=latency.percentile(99) / 1e6,
            p99_9_ms=latency.percentile(99.9) / 1e6,
            max_ms=latency.max_ns / 1e6,
            curve=[(percent, latency.percentile(percent) / 1e6) for percent in told],
        ),
        errors={str(kind): count for kind, count in outcome.errors.items()},
        statuses=dict(outcome.statuses),
        load_cpu_s=round(outcome.cpu_s, 3),
        server_cpu_s_per_1000=(
            None if server_cpu_s is None or not answered else server_cpu_s / answered * 1000
        ),
    )


def this_machine() -> Machine:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2] for line in cpuinfo.splitlines() if "model name" in line]
    return Machine(
        python=platform.python_version(),
        kernel=platform.release(),
        processor=" ".join((names or [platform.machine()])[0].split()),
        processors=os.cpu_count() or 1,
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
