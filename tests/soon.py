"""What is done without a task, as a fake does it: in a task all the same, of the same context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import outcome
import trio


def soon(
    work: Callable[..., Awaitable[Any]],
    *arguments: Any,
    then: Callable[[outcome.Outcome[Any]], object],
    **named: Any,
) -> None:
    """`then` is told what `work` came to, later, from the event loop."""

    async def run() -> None:
        then(await outcome.acapture(work, *arguments, **named))

    trio.lowlevel.spawn_system_task(run, context=copy_context())
