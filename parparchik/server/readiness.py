"""Whether this process should be sent requests, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass

from parparchik.registry import Service
from parparchik.server.supervise import Supervisor


@dataclass(slots=True)
class Ending:
    """Whether a signal to stop has come: to all applications of the process alike."""

    begun: bool = False


class ProcessReadiness:
    """Ready from the end of the start-up until the first signal to stop, while no background task
    is down."""

    def __init__(self, service: Service, supervisor: Supervisor, ending: Ending) -> None:
        self._service = service
        self._supervisor = supervisor
        self._ending = ending

    def stop(self) -> None:
        self._ending.begun = True

    def reason(self) -> str | None:
        if self._ending.begun:
            return "shutting down"
        if down := self._supervisor.down:
            return down
        if not self._service.ready:
            progress = self._service.progress
            counts = f": {progress.done} of {progress.total}" if progress.total else ""
            return progress.phase + counts
        return None
