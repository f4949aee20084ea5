"""One scrape: every collector's samples in the format that the scraper prefers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from parparchik.metrics.collector import Sources, StatisticsCollector

SLICE_SAMPLES = 500
"""Encoded at once, in some two milliseconds. A histogram of a hundred buckets has thousands."""

_END_OF_OPENMETRICS = b"# EOF\n"


class Exposition:
    """The process's own Prometheus registry: nothing of other libraries' default one."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(StatisticsCollector(sources))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    async def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body): OpenMetrics for an Accept header that names it, else
        Prometheus text.

        Metrics are encoded a slice at a time and others run in between: with many buckets there
        are thousands of samples.
        """
        encode, content_type = choose_encoder(accept)
        body = bytearray()
        end = b""
        for metric in self._registry.collect():
            for number, part in enumerate(_slices(metric)):
                piece = encode(_Single(part))
                if piece.endswith(_END_OF_OPENMETRICS):
                    end = _END_OF_OPENMETRICS
                    piece = piece.removesuffix(end)
                body += _samples(piece) if number else piece
                await trio.lowlevel.checkpoint()
        return content_type, bytes(body + end)


def _slices(metric: Metric) -> Iterator[Metric]:
    """`metric` in parts that have the same name and type and some of its samples."""
    yield _part(metric, 0)
    for start in range(SLICE_SAMPLES, len(metric.samples), SLICE_SAMPLES):
        yield _part(metric, start)


def _part(metric: Metric, start: int) -> Metric:
    part = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    part.samples = metric.samples[start : start + SLICE_SAMPLES]
    return part


def _samples(piece: bytes) -> bytes:
    """`piece` without what introduces a metric: that may come only once."""
    lines = piece.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"#"))


class _Single(Collector):
    """What an encoder takes for a registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
