"""Where batches go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from parparchik.errors import ParparchikError
from parparchik.sinks.measurement import Measurement

T = TypeVar("T")


class SinkFailed(ParparchikError):
    """The batch was not taken this time; it is sent again."""


class SinkRefused(ParparchikError):
    """The sink does not want this batch; asking again will not help."""


class Destination(Protocol[T]):
    """One server."""

    def prepare(self, measurements: Sequence[Measurement]) -> T:
        """A batch as it is sent. Called in a thread."""
        ...

    async def send(self, batch: T) -> None:
        """Raises SinkFailed or SinkRefused. After any failure, being cancelled included, it can be
        called again, with the same batch or another."""
        ...

    async def aclose(self) -> None: ...
