"""The metrics, read from the rooms' statistics at the moment of a scrape.

The gauges of the contract come first; everything else has been added to them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parparchik import __version__
from parparchik.metrics.bytes import ByteSources, byte_metrics
from parparchik.metrics.dedup import AskDedup, dedup_metrics, no_dedup
from parparchik.metrics.histogram import HistogramSnapshot
from parparchik.metrics.http import http_metrics
from parparchik.metrics.peers import AskPeers, peer_metrics
from parparchik.metrics.samples import counters, gauge, gauges, histograms
from parparchik.metrics.sinks import AskSinks, sink_metrics
from parparchik.metrics.traffic import Traffic
from parparchik.registry import RegistryStatistics, ServiceStatistics
from parparchik.s3 import LATENCY_BOUNDS_S, S3Statistics


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """Clients' connections. `open` is by plane, `refused` by reason, `timed_out` by what was
    waited for; `truncated` are answers that were broken off because the rest of their body did
    not come. All but `open` only grow."""

    open: tuple[tuple[str, int], ...] = ()
    accepted: int = 0
    handed_over: int = 0
    accept_pauses: int = 0
    failed_handshakes: int = 0
    truncated: int = 0
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

    def __init__(
        self,
        sources: Sources,
        objects: ByteSources | None = None,
        sinks: AskSinks = tuple,
        dedup: AskDedup = no_dedup,
        *,
        peers: AskPeers = tuple,
    ) -> None:
        self._sources = sources
        self._objects = objects
        self._sinks = sinks
        self._dedup = dedup
        self._peers = peers

    def collect(self) -> Iterator[Metric]:
        service = self._sources.service()
        yield from _registry(service.registry)
        yield from _service(service)
        yield from _traffic(self._sources.traffic)
        yield from http_metrics(self._sources.traffic)
        if self._objects is not None:
            yield from byte_metrics(self._objects)
        yield from dedup_metrics(self._dedup())
        yield from sink_metrics(self._sinks)
        yield from peer_metrics(self._peers)
        yield from _s3(self._sources.s3())
        yield from _connections(self._sources.connections())
        yield gauge("ready", "Whether this process should be sent requests", self._sources.ready())
        yield counters(
            "task_restarts",
            "Background tasks started again after a crash",
            ("task",),
            self._sources.restarts(),
        )
        build = GaugeMetricFamily("parparchik_build_info", "Always 1", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build


def _registry(registry: RegistryStatistics) -> Iterator[Metric]:
    yield gauges("volume_files", "Files in the registry by bucket", "volume", registry.files)
    yield gauge("duplicate_files", "Keys that more than one bucket has", registry.duplicates)
    yield gauge("uploads_per_week", "Files modified in the last 7 days", registry.week)
    yield gauge("uploads_per_month", "Files modified in the last 31 days", registry.month)
    total = sum(count for _, count in registry.files)
    yield gauge("registry_files", "Files in the registry", total)


def _service(service: ServiceStatistics) -> Iterator[Metric]:
    yield gauges(
        "s3_up", "Whether the bucket's last request was answered", "bucket", service.reachable
    )
    yield counters(
        "verifications",
        "How the question whether a route is still true was answered",
        ("outcome",),
        service.verifications,
    )
    yield counters(
        "stale_answers",
        "Redirects given although S3 could not confirm them",
        (),
        [(service.stale_answers,)],
    )
    yield counters(
        "manifest_writes", "Writes of manifests", ("bucket", "outcome"), service.manifest_writes
    )


def _traffic(traffic: Traffic) -> Iterator[Metric]:
    yield counters("requests", "Answered requests", ("kind", "status"), traffic.requests())
    yield histograms(
        "redirect_seconds",
        "From the arrival of a request to its redirect",
        (),
        [((), traffic.redirect_seconds.snapshot())],
    )


def _s3(statistics: S3Statistics) -> Iterator[Metric]:
    seconds: list[tuple[tuple[str, ...], HistogramSnapshot]] = []
    outcomes: list[tuple[str, str, str, int]] = []
    retries: list[tuple[str, str, int]] = []
    for counted in statistics.operations:
        labels = (counted.bucket, counted.operation)
        cumulative = tuple(accumulate(counted.latency_counts))
        snapshot = HistogramSnapshot(LATENCY_BOUNDS_S, cumulative, counted.seconds)
        seconds.append((labels, snapshot))
        outcomes += [(*labels, outcome, count) for outcome, count in counted.outcomes]
        retries.append((*labels, counted.retries))
    yield histograms(
        "s3_request_seconds",
        "Operations on S3, with their retries",
        ("bucket", "operation"),
        seconds,
    )
    yield counters("s3_requests", "Operations on S3", ("bucket", "operation", "outcome"), outcomes)
    yield counters("s3_retries", "Requests to S3 made again", ("bucket", "operation"), retries)
    connections = GaugeMetricFamily(
        "parparchik_s3_connections", "Connections to S3", labels=("origin", "state")
    )
    for origin, pool in statistics.pools:
        connections.add_metric((origin, "active"), pool.open - pool.idle)
        connections.add_metric((origin, "idle"), pool.idle)
    yield connections


def counted_by(
    sources: Sources,
    objects: ByteSources | None,
    sinks: AskSinks = tuple,
    dedup: AskDedup = no_dedup,
) -> Iterator[Metric]:
    """What ends with an application, and not with the process."""
    yield from _service(sources.service())
    yield from _s3(sources.s3())
    if objects is not None:
        yield from byte_metrics(objects)
    yield from dedup_metrics(dedup())
    yield from sink_metrics(sinks)


def _connections(statistics: ConnectionStatistics) -> Iterator[Metric]:
    yield gauges("connections", "Connections of clients", "plane", statistics.open)
    for name, documentation, count in (
        ("connections_accepted", "Connections accepted", statistics.accepted),
        ("connections_handed_over", "Connections the edge gave away", statistics.handed_over),
        ("accept_pauses", "Times that no more connections were taken", statistics.accept_pauses),
        ("tls_handshakes_failed", "Connections that spoke no TLS", statistics.failed_handshakes),
        ("answers_truncated", "Answers broken off in their body", statistics.truncated),
    ):
        yield counters(name, documentation, (), [(count,)])
    yield counters(
        "requests_refused", "Requests that were no sound HTTP", ("reason",), statistics.refused
    )
    yield counters(
        "client_timeouts",
        "Connections closed because their client took too long",
        ("waiting_for",),
        statistics.timed_out,
    )
