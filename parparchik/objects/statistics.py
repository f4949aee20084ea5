"""What the gateway has done, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operation = Literal["get", "head", "put", "delete", "batch_delete", "batch_stat"]


@dataclass(frozen=True, slots=True)
class GatewayStatistics:
    """`operations` are (bucket, operation, count), of allowed buckets alone: the names are the
    operator's, not the clients'. `bodies` is how many are being taken just now; `refused_bodies`
    how many were not because of too many. All but `bodies` only grow."""

    operations: tuple[tuple[str, Operation, int], ...] = ()
    bodies: int = 0
    refused_bodies: int = 0


class Tally:
    """How often one thing has been done."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Operations:
    """Counts by bucket and operation."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, Operation], Tally] = {}

    def tally(self, bucket: str, operation: Operation) -> Tally:
        """The one of this bucket and operation; may be kept."""
        return self._tallies.setdefault((bucket, operation), Tally())

    def counts(self) -> tuple[tuple[str, Operation, int], ...]:
        """Sorted; what was never done is left out."""
        return tuple(
            (bucket, operation, tally.count)
            for (bucket, operation), tally in sorted(self._tallies.items())
            if tally.count
        )
