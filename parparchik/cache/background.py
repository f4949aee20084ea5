"""Where runs what outlives a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import structlog
import trio

from parparchik.errors import Unavailable

Ts = TypeVarTuple("Ts")

log = structlog.get_logger(__name__)


class Background:
    """`failures` counts jobs that ended in an error nobody had thought of; each is logged."""

    __slots__ = ("_nursery", "failures")

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self.failures = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; all jobs are, then."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def start(self, job: Callable[[*Ts], Awaitable[None]], *args: *Ts) -> None:
        """Raises Unavailable while nothing runs here."""
        if self._nursery is None:
            raise closed()
        self._nursery.start_soon(self._guard, lambda: job(*args))

    async def _guard(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception:
            self.failures += 1
            log.exception("a job of the cache failed")


def closed() -> Unavailable:
    return Unavailable("the cache is not running")
