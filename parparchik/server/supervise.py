"""Background tasks that must neither die silently nor take the server with them.

A task that crashes is logged with its traceback, counted, and started again after a pause that
doubles up to a limit. While it is down, `down` says why, and readiness answers 503 with it.
Cancelled passes: only crashes are dealt with here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from parparchik.errors import ParparchikError

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class BackgroundTask(Protocol):
    """Runs until it is cancelled; `task_status.started()` says that it works (again)."""

    def __call__(self, *, task_status: trio.TaskStatus[None]) -> Awaitable[None]: ...


class Supervisor:
    """Runs tasks by name and keeps what an operator wants to know of them."""

    def __init__(self, above: Supervisor | None = None) -> None:
        """With one `above`, restarts are counted there, and what is down there is down here."""
        self._restarts: dict[str, int] = {} if above is None else above._restarts
        self._down: dict[str, str] = {}
        self._above = above

    @property
    def down(self) -> str | None:
        """Which tasks are down and why; None when all work."""
        if self._above is not None and (reason := self._above.down):
            return reason
        if not self._down:
            return None
        return "; ".join(f"{name} is down: {reason}" for name, reason in self._down.items())

    def restarts(self) -> tuple[tuple[str, int], ...]:
        """(task, how often it was started again) for every task ever run."""
        return tuple(self._restarts.items())

    async def run(self, name: str, task: BackgroundTask) -> None:
        """Run `task` until it returns or is cancelled, starting it again whenever it crashes."""
        self._restarts.setdefault(name, 0)
        pause_s = FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            if await self._returns(name, task):
                self._down.pop(name, None)
                return
            if trio.current_time() - began > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            log.warning("background task starts again", task=name, in_s=pause_s)
            await trio.sleep(pause_s)
            self._restarts[name] += 1
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _returns(self, name: str, task: BackgroundTask) -> bool:
        """One life of `task`: whether it returned rather than crashed."""
        returned = False
        try:
            await task(task_status=_Started(lambda: self._down.pop(name, None)))
            returned = True
        except* Exception as crashes:
            self._down[name] = _reason(crashes)
            log.exception("background task crashed", task=name)
        return returned


class _Started:
    """A `trio.TaskStatus` that tells the supervisor."""

    def __init__(self, report: Callable[[], object]) -> None:
        self._report = report

    def started(self, value: None = None) -> None:
        self._report()


def _reason(crashes: ExceptionGroup[Exception]) -> str:
    """What may be shown to anyone: messages of our own errors, of others only the type."""
    first = crashes.exceptions[0]
    if isinstance(first, ExceptionGroup):
        return _reason(first)
    return first.client_message if isinstance(first, ParparchikError) else type(first).__name__
