"""One scrape: every collector's samples in the format that the scraper prefers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from parparchik.metrics.bytes import ByteSources
from parparchik.metrics.collector import Sources, StatisticsCollector, counted_by
from parparchik.metrics.dedup import AskDedup, no_dedup
from parparchik.metrics.family import Family, Sum, family_of, metric_of
from parparchik.metrics.figures import FIGURES
from parparchik.metrics.peers import AskPeers
from parparchik.metrics.sinks import AskSinks

SLICE_SAMPLES = 500
"""Encoded at once, in some two milliseconds. A histogram of a hundred buckets has thousands."""

_END_OF_OPENMETRICS = b"# EOF\n"


class Exposition:
    """The process's own Prometheus registry: nothing of other libraries' default one."""

    def __init__(
        self,
        sources: Sources,
        earlier: Sum | None = None,
        objects: ByteSources | None = None,
        sinks: AskSinks = tuple,
        dedup: AskDedup = no_dedup,
        *,
        peers: AskPeers = tuple,
    ) -> None:
        """`earlier` has what others counted before in this process: counters never fall.
        `objects` is for where objects are served, `sinks` for where figures are sent,
        `dedup` for where there is a dedup store. `peers`, too, are the process's own."""
        self._sources = sources
        self._earlier = earlier
        self._objects = objects
        self._sinks = sinks
        self._dedup = dedup
        self._registry = CollectorRegistry()
        self._registry.register(StatisticsCollector(sources, objects, sinks, dedup, peers=peers))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    async def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body) for an Accept header."""
        return await encode(self.families(), accept)

    def families(self) -> list[Family]:
        """The same numbers, for another process to add to its own."""
        total = Sum()
        total.add(family_of(metric) for metric in self._registry.collect())
        if self._earlier is not None:
            total.add(self._earlier.families())
        return total.families()

    def leave(self, earlier: Sum) -> None:
        """Another takes the place of these sources: what they have counted goes to `earlier`."""
        earlier.add_for_good(
            family_of(metric)
            for metric in counted_by(self._sources, self._objects, self._sinks, self._dedup)
        )


async def encode(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """(content type, body): OpenMetrics or figures for an Accept header that names them, else
    Prometheus text.

    Metrics are encoded a slice at a time and others run in between: with many buckets there are
    thousands of samples.
    """
    if accept in FIGURES:
        return "application/json", FIGURES[accept](families)
    encode_all, content_type = choose_encoder(accept)
    body = bytearray()
    end = b""
    for metric in map(metric_of, families):
        for number, part in enumerate(_slices(metric)):
            piece = encode_all(_Single(part))
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
