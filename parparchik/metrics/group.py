"""A scrape of a group of processes, answered as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from parparchik.metrics.exposition import Exposition, encode
from parparchik.metrics.family import Family, Sum, family_of


class Members(Protocol):
    """The other processes."""

    async def numbers(self) -> Sequence[Sequence[Family]]:
        """What each has counted, those that have ended included: sums of it never fall."""
        ...

    @property
    def alive(self) -> int: ...

    @property
    def restarts(self) -> int:
        """How often one that had ended unasked was replaced."""
        ...


class GroupExposition:
    """`own` has what only this process knows: the registry, its manifests, readiness."""

    def __init__(self, own: Exposition, members: Members) -> None:
        self._own = own
        self._members = members

    async def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body)."""
        others = await self._members.numbers()
        total = Sum()
        total.add(self._own.families())
        for families in others:
            total.add(families)
        workers = GaugeMetricFamily(
            "parparchik_workers", "Processes that answer requests", self._members.alive
        )
        restarts = CounterMetricFamily(
            "parparchik_worker_restarts",
            "Processes that were replaced because they had ended",
            self._members.restarts,
        )
        total.add([family_of(workers), family_of(restarts)])
        return await encode(total.families(), accept)
