"""SIGTERM and SIGINT: the first asks for an orderly end, the second for the end. SIGHUP: read the
settings again."""

from __future__ import annotations

import signal
from collections.abc import Callable

import structlog
import trio

from parparchik.errors import ParparchikError

log = structlog.get_logger(__name__)


class StoppedAtOnce(ParparchikError):
    """A second signal came while the first was being obeyed."""


async def obey_signals(
    stop: trio.Event,
    hang_up: Callable[[], object],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set `stop` at the first signal to end, raise StoppedAtOnce at the second; call `hang_up` at
    each SIGHUP. Needs the main thread."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                hang_up()
                continue
            if stop.is_set():
                raise StoppedAtOnce(f"stopped at once by a second signal ({name})")
            log.info("stopping", signal=name)
            stop.set()
