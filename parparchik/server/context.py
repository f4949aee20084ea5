"""What connections that Hypercorn serves know beside their bytes, and what becomes of requests
that no app is asked about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypercorn.trio.worker_context import WorkerContext

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.edge import Refusal


@dataclass(frozen=True, slots=True)
class Addresses:
    """The two ends of a connection, as ASGI wants them."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    is_tls: bool


class House:
    """What all connections have in common. `refused` counts requests by the reason of their
    refusal, `timed_out` connections by what was waited for; the names are the edge's.
    `truncated` counts answers that were broken off in their body."""

    def __init__(self, settings: ServerConfig, request_ids: RequestIds, access: AccessLog) -> None:
        self.settings = settings
        self.access = access
        self.refused: Counter[str] = Counter()
        self.timed_out: Counter[str] = Counter()
        self.truncated = 0
        self._new_id = request_ids.new

    def record(
        self, refusal: Refusal, client: tuple[str, int] | None, seconds: float = 0.0
    ) -> bytes:
        """Count a refusal that is being written, `seconds` after its request had come, and log it
        as the edge does: of what was refused nothing is certain. Returns the request's id."""
        self.refused[refusal.reason] += 1
        request_id = self._new_id()
        record = self.access.prepare(method="", target=b"", status=refusal.status, kind="invalid")
        record.add(seconds, client[0] if client else "", request_id)
        self.access.flush()
        return request_id


class Context(WorkerContext):
    """Hypercorn's context of a whole server is one connection's here: its `terminated` is how a
    connection is told to end when it is idle. `closing`: after its next answer."""

    def __init__(self, house: House) -> None:
        super().__init__(max_requests=None)
        self.house = house
        self.closing = False
