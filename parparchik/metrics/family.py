"""Numbers of several processes as those of one.

Counters and histograms add up. Gauges do too, but for those that only one process can know (the
first's are taken) and for those that are true only if they are true everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from prometheus_client.core import Metric

from parparchik.metrics.dedup import OF_A_PASS, OF_THE_STORE

Sample = tuple[str, tuple[str, ...], tuple[str, ...], float]
"""Name, label names, label values, value."""


class Family(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A metric that can travel."""

    name: str
    documentation: str
    type: str
    samples: list[Sample]


_GROWING = ("counter", "histogram")
_LASTING = ("parparchik_cache_last_eviction_timestamp_seconds",)


def _first(one: float, _: float) -> float:
    return one


def _sum(one: float, other: float) -> float:
    return one + other


_COMBINE: dict[str, Callable[[float, float], float]] = {
    "parparchik_volume_files": _first,
    "parparchik_duplicate_files": _first,
    "parparchik_uploads_per_week": _first,
    "parparchik_uploads_per_month": _first,
    "parparchik_registry_files": _first,
    "parparchik_ready": _first,
    "parparchik_build_info": _first,
    "parparchik_s3_up": min,
    "parparchik_cache_last_eviction_timestamp_seconds": max,
    **{f"parparchik_dedup_{name}": _first for name in OF_THE_STORE},
    **{f"parparchik_dedup_last_clean_{name}": max for name in OF_A_PASS},
    "process_max_fds": _first,
    "process_start_time_seconds": _first,
    "python_info": _first,
}


class Sum:
    """Adds up families. What is known of one process alone is that of the first one added."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._values: dict[str, dict[tuple[str, tuple[str, ...], tuple[str, ...]], float]] = {}

    def add(self, families: Iterable[Family]) -> None:
        for family in families:
            combine = _COMBINE.get(family.name, _sum)
            self._families.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            for name, labels, of, value in family.samples:
                sample = (name, labels, of)
                known = values.get(sample)
                values[sample] = value if known is None else combine(known, value)

    def add_for_good(self, families: Iterable[Family]) -> None:
        """Of a process that has ended: only what grows stays, and what was once."""
        self.add(
            family for family in families if family.type in _GROWING or family.name in _LASTING
        )

    def families(self) -> list[Family]:
        return [
            Family(
                family.name,
                family.documentation,
                family.type,
                [(*sample, value) for sample, value in self._values[family.name].items()],
            )
            for family in self._families.values()
        ]


def family_of(metric: Metric) -> Family:
    return Family(
        metric.name,
        metric.documentation,
        metric.type,
        [
            (s.name, tuple(s.labels), tuple(s.labels.values()), float(s.value))
            for s in metric.samples
        ],
    )


def metric_of(family: Family) -> Metric:
    metric = Metric(family.name, family.documentation, family.type)
    for name, labels, of, value in family.samples:
        metric.add_sample(name, dict(zip(labels, of, strict=True)), value)
    return metric
