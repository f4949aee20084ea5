"""Requests as HTTP has them, whatever they were for. The names are those of the object gateway that
ours takes the place of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from parparchik.metrics.samples import counters, histograms
from parparchik.metrics.traffic import Traffic

REQUEST_SECONDS = "http_response_time_seconds"


def http_metrics(traffic: Traffic) -> Iterator[Metric]:
    by_status = Counter[int]()
    for _, status, count in traffic.requests():
        by_status[status] += count
    yield counters("http_requests", "Answered requests", (), [(by_status.total(),)])
    yield counters(
        "http_response_status", "Answers by status", ("code",), sorted(by_status.items())
    )
    yield histograms(
        REQUEST_SECONDS,
        "From the arrival of a request to the end of its answer",
        ("kind",),
        [((kind,), snapshot) for kind, snapshot in traffic.seconds()],
    )
    for name, documentation, snapshot in (
        ("http_request_size_bytes", "Bodies of requests", traffic.taken()),
        ("http_response_size_bytes", "Bodies of answers, as sent", traffic.sent()),
    ):
        yield histograms(name, documentation, (), [((), snapshot)])
