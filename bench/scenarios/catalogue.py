"""Every scenario, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.report import Result
from bench.scenarios import processes
from bench.scenarios.bulk import BULK
from bench.scenarios.churn import manifest_churn
from bench.scenarios.dedup import DEDUP
from bench.scenarios.parts import probe, registry
from bench.scenarios.requests import LOADS
from bench.scenarios.stage import Options


@dataclass(frozen=True, slots=True)
class Scenario:
    """`local_only`: looks into processes, so it takes no target."""

    name: str
    line: str
    run: Callable[[Options], Awaitable[Result]]
    local_only: bool = False


_ALL = (
    *(Scenario(load.name, load.line, load.run) for load in LOADS),
    *(Scenario(bulk.name, bulk.line, bulk.run) for bulk in BULK),
    *(Scenario(dedup.name, dedup.line, dedup.run) for dedup in DEDUP),
    Scenario(
        "redirect-paced",
        "redirect-hot at half the rate it can do, in an open loop: its p99",
        processes.paced,
    ),
    Scenario(
        "management",
        "/status, /healthcheck, /readiness, /metrics and /list, one after the other",
        processes.management,
    ),
    Scenario("tls", "redirect-hot over HTTP/1.1 and TLS", processes.tls),
    Scenario("http2", "redirect-hot over HTTP/2 and TLS", processes.http2),
    Scenario(
        "workers",
        "two workers against one, load on the same processors: redirect-hot, and over TLS",
        processes.workers,
        local_only=True,
    ),
    Scenario(
        "memory",
        "redirect-hot: resident memory after 100,000 and after 10 million requests",
        processes.memory,
        local_only=True,
    ),
    Scenario(
        "start-up",
        "100,000 objects over two buckets: to readiness by listings, and by HEADs",
        processes.start_up,
        local_only=True,
    ),
    Scenario(
        "manifest-churn",
        "a million entries that change all the time: who waits while manifests are written",
        manifest_churn,
        local_only=True,
    ),
    Scenario(
        "registry",
        "a million entries without a server: load, memory for each, longest stall",
        registry,
        local_only=True,
    ),
    Scenario(
        "probe",
        "HEADs to S3 without a server: how many a second, and what each costs",
        probe,
        local_only=True,
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
