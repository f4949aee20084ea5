"""Whether this process should be sent requests, and if not, why."""

from __future__ import annotations

from parparchik.registry import Service
from parparchik.server.supervise import Supervisor


class ProcessReadiness:
    """Ready from the end of the start-up until the first signal to stop, while no background task
    is down."""

    def __init__(self, service: Service, supervisor: Supervisor) -> None:
        self._service = service
        self._supervisor = supervisor
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    def reason(self) -> str | None:
        if self._stopping:
            return "shutting down"
        if down := self._supervisor.down:
            return down
        if not self._service.ready:
            progress = self._service.progress
            counts = f": {progress.done} of {progress.total}" if progress.total else ""
            return progress.phase + counts
        return None
