"""Samples out of plain numbers, all under our prefix."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from parparchik.metrics.histogram import HistogramSnapshot


def gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"parparchik_{name}", documentation, value)


def gauges(name: str, documentation: str, label: str, rows: Iterable[tuple[str, float]]) -> Metric:
    """A gauge of which each row has the label's value and the gauge's."""
    family = GaugeMetricFamily(f"parparchik_{name}", documentation, labels=(label,))
    for of, value in rows:
        family.add_metric((of,), value)
    return family


def counters(
    name: str, documentation: str, labels: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]
) -> Metric:
    """A counter of which each row has the labels' values and, last, the count."""
    family = CounterMetricFamily(f"parparchik_{name}", documentation, labels=labels)
    for *values, count in rows:
        family.add_metric([str(value) for value in values], int(count))
    return family


def histograms(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], HistogramSnapshot]],
) -> Metric:
    """A histogram of which each row has the labels' values and the counts."""
    family = HistogramMetricFamily(f"parparchik_{name}", documentation, labels=labels)
    for values, snapshot in rows:
        bounds = (*map(floatToGoString, snapshot.bounds), "+Inf")
        buckets = list(zip(bounds, snapshot.cumulative, strict=True))
        family.add_metric(values, buckets, sum_value=snapshot.total)
    return family
