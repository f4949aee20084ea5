"""What became of the figures of requests that were sent elsewhere, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from parparchik.metrics.samples import counters


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """Requests by what became of their figures, and how often sending failed. `kind` and `server`
    tell the sinks apart; `waiting` goes up and down, all else only grows."""

    kind: str
    server: str
    sent: int
    dropped: int
    refused: int
    failures: int
    waiting: int


AskSinks = Callable[[], Iterable[SinkStatistics]]


def sink_metrics(ask: AskSinks) -> Iterator[Metric]:
    sinks = list(ask())
    if not sinks:
        return
    outcomes = [
        (sink.kind, sink.server, outcome, count)
        for sink in sinks
        for outcome, count in (
            ("sent", sink.sent),
            ("dropped", sink.dropped),
            ("refused", sink.refused),
        )
    ]
    yield counters(
        "sink_requests",
        "Requests by what became of their figures",
        ("kind", "server", "outcome"),
        outcomes,
    )
    yield counters(
        "sink_failures",
        "Batches of figures that a sink did not take at once",
        ("kind", "server"),
        [(sink.kind, sink.server, sink.failures) for sink in sinks],
    )
    waiting = GaugeMetricFamily(
        "parparchik_sink_waiting",
        "Requests whose figures have not been sent yet",
        labels=("kind", "server"),
    )
    for sink in sinks:
        waiting.add_metric((sink.kind, sink.server), sink.waiting)
    yield waiting
