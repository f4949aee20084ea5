"""One scrape: every collector's samples in the format that the scraper prefers."""

from __future__ import annotations

from collections.abc import Iterable

import trio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from parparchik.metrics.collector import Sources, StatisticsCollector

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

        Metrics are encoded one by one and others run in between: with many buckets there are
        thousands of samples.
        """
        encode, content_type = choose_encoder(accept)
        body = bytearray()
        end = b""
        for metric in self._registry.collect():
            piece = encode(_Single(metric))
            if piece.endswith(_END_OF_OPENMETRICS):
                end = _END_OF_OPENMETRICS
                piece = piece.removesuffix(end)
            body += piece
            await trio.lowlevel.checkpoint()
        return content_type, bytes(body + end)


class _Single(Collector):
    """What an encoder takes for a registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
