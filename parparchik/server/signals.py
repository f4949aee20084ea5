"""SIGTERM and SIGINT: the first asks for an orderly end, the second for the end."""

from __future__ import annotations

import signal

import structlog
import trio

from parparchik.errors import ParparchikError

log = structlog.get_logger(__name__)


class StoppedAtOnce(ParparchikError):
    """A second signal came while the first was being obeyed."""


async def obey_signals(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Set `stop` at the first signal, raise StoppedAtOnce at the second. Needs the main thread."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if stop.is_set():
                raise StoppedAtOnce(f"stopped at once by a second signal ({name})")
            log.info("stopping", signal=name)
            stop.set()
