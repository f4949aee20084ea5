"""What the start-up is at, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from parparchik.registry import Service

log = structlog.get_logger(__name__)

LOG_EVERY_S = 5.0
SHOW_EVERY_S = 0.1

Show = Callable[[str, int, int], object]
"""Takes the phase, what is done of it and its total (0 while nobody knows)."""


async def report_progress(service: Service, show: Show | None) -> None:
    """Until the start-up has ended: call `show` often, or, without one, log every few seconds."""
    progress = service.progress
    while not service.ready:
        await trio.sleep(LOG_EVERY_S if show is None else SHOW_EVERY_S)
        if show is not None:
            show(progress.phase, progress.done, progress.total)
        elif not service.ready:
            log.info("start-up", phase=progress.phase, done=progress.done, total=progress.total)
