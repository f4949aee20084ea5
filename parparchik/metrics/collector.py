"""The metrics, read from the rooms' statistics at the moment of a scrape.

The gauges of the contract come first; everything else has been added to them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from parparchik import __version__
from parparchik.metrics.histogram import HistogramSnapshot
from parparchik.metrics.traffic import Traffic
from parparchik.registry import RegistryStatistics, ServiceStatistics
from parparchik.s3 import LATENCY_BOUNDS_S, S3Statistics


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """Clients' connections. `open` is by plane, `refused` by reason, `timed_out` by what was
    waited for; all but `open` only grow."""

    open: tuple[tuple[str, int], ...] = ()
    accepted: int = 0
    handed_over: int = 0
    accept_pauses: int = 0
    failed_handshakes: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    timed_out: tuple[tuple[str, int], ...] = ()


class Sources(Protocol):
    """Where the numbers come from; each is asked once a scrape."""

    @property
    def traffic(self) -> Traffic: ...

    def service(self) -> ServiceStatistics: ...

    def s3(self) -> S3Statistics: ...

    def connections(self) -> ConnectionStatistics: ...

    def ready(self) -> bool: ...

    def restarts(self) -> Iterable[tuple[str, int]]:
        """(background task, how often it was started again)."""
        ...


class StatisticsCollector(Collector):
    """Turns statistics into samples; holds no numbers itself."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        service = self._sources.service()
        yield from _registry(service.registry)
        yield from _service(service)
        yield from _traffic(self._sources.traffic)
        yield from _s3(self._sources.s3())
        yield from _connections(self._sources.connections())
        yield _gauge("ready", "Whether this process should be sent requests", self._sources.ready())
        yield _counters(
            "task_restarts",
            "Background tasks started again after a crash",
            ("task",),
            self._sources.restarts(),
        )
        build = GaugeMetricFamily("parparchik_build_info", "Always 1", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build


def _registry(registry: RegistryStatistics) -> Iterator[Metric]:
    files = GaugeMetricFamily(
        "parparchik_volume_files", "Files in the registry by bucket", labels=("volume",)
    )
    for bucket, count in registry.files:
        files.add_metric((bucket,), count)
    yield files
    yield _gauge("duplicate_files", "Keys that more than one bucket has", registry.duplicates)
    yield _gauge("uploads_per_week", "Files modified in the last 7 days", registry.week)
    yield _gauge("uploads_per_month", "Files modified in the last 31 days", registry.month)
    total = sum(count for _, count in registry.files)
    yield _gauge("registry_files", "Files in the registry", total)


def _service(service: ServiceStatistics) -> Iterator[Metric]:
    reachable = GaugeMetricFamily(
        "parparchik_s3_up", "Whether the bucket's last request was answered", labels=("bucket",)
    )
    for bucket, answered in service.reachable:
        reachable.add_metric((bucket,), answered)
    yield reachable
    yield _counters(
        "verifications",
        "How the question whether a route is still true was answered",
        ("outcome",),
        service.verifications,
    )
    yield _counters(
        "stale_answers",
        "Redirects given although S3 could not confirm them",
        (),
        [(service.stale_answers,)],
    )
    yield _counters(
        "manifest_writes", "Writes of manifests", ("bucket", "outcome"), service.manifest_writes
    )


def _traffic(traffic: Traffic) -> Iterator[Metric]:
    yield _counters("requests", "Answered requests", ("kind", "status"), traffic.requests())
    redirects = HistogramMetricFamily(
        "parparchik_redirect_seconds", "From the arrival of a request to its redirect", labels=()
    )
    _add(redirects, (), traffic.redirect_seconds.snapshot())
    yield redirects


def _s3(statistics: S3Statistics) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "parparchik_s3_request_seconds",
        "Operations on S3, with their retries",
        labels=("bucket", "operation"),
    )
    outcomes: list[tuple[str, str, str, int]] = []
    retries: list[tuple[str, str, int]] = []
    for counted in statistics.operations:
        labels = (counted.bucket, counted.operation)
        cumulative = tuple(accumulate(counted.latency_counts))
        _add(seconds, labels, HistogramSnapshot(LATENCY_BOUNDS_S, cumulative, counted.seconds))
        outcomes += [(*labels, outcome, count) for outcome, count in counted.outcomes]
        retries.append((*labels, counted.retries))
    yield seconds
    yield _counters("s3_requests", "Operations on S3", ("bucket", "operation", "outcome"), outcomes)
    yield _counters("s3_retries", "Requests to S3 made again", ("bucket", "operation"), retries)
    connections = GaugeMetricFamily(
        "parparchik_s3_connections", "Connections to S3", labels=("origin", "state")
    )
    for origin, pool in statistics.pools:
        connections.add_metric((origin, "active"), pool.open - pool.idle)
        connections.add_metric((origin, "idle"), pool.idle)
    yield connections


def counted_by(sources: Sources) -> Iterator[Metric]:
    """What ends with an application, and not with the process."""
    yield from _service(sources.service())
    yield from _s3(sources.s3())


def _connections(statistics: ConnectionStatistics) -> Iterator[Metric]:
    opened = GaugeMetricFamily(
        "parparchik_connections", "Connections of clients", labels=("plane",)
    )
    for plane, count in statistics.open:
        opened.add_metric((plane,), count)
    yield opened
    for name, documentation, count in (
        ("connections_accepted", "Connections accepted", statistics.accepted),
        ("connections_handed_over", "Connections the edge gave away", statistics.handed_over),
        ("accept_pauses", "Times that no more connections were taken", statistics.accept_pauses),
        ("tls_handshakes_failed", "Connections that spoke no TLS", statistics.failed_handshakes),
    ):
        yield _counters(name, documentation, (), [(count,)])
    yield _counters(
        "requests_refused", "Requests that were no sound HTTP", ("reason",), statistics.refused
    )
    yield _counters(
        "client_timeouts",
        "Connections closed because their client took too long",
        ("waiting_for",),
        statistics.timed_out,
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"parparchik_{name}", documentation, value)


def _counters(
    name: str, documentation: str, labels: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]
) -> Metric:
    """A counter of which each row has the labels' values and, last, the count."""
    family = CounterMetricFamily(f"parparchik_{name}", documentation, labels=labels)
    for *values, count in rows:
        family.add_metric([str(value) for value in values], int(count))
    return family


def _add(
    family: HistogramMetricFamily, labels: tuple[str, ...], snapshot: HistogramSnapshot
) -> None:
    bounds = (*map(floatToGoString, snapshot.bounds), "+Inf")
    buckets = list(zip(bounds, snapshot.cumulative, strict=True))
    family.add_metric(labels, buckets, sum_value=snapshot.total)
