"""Where what clients have left behind is closed: a Content is closed at once, a connection takes
its time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Protocol, TypeVar, cast

import structlog
import trio

_CLOSE_S = 10.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


def pages_closed(
    pages: AsyncIterator[T],
) -> AbstractAsyncContextManager[AsyncGenerator[T, None]]:
    """What a store of metadata lists, closed in the end whether it was read to its own or not."""
    return aclosing(cast("AsyncGenerator[T, None]", pages))


class Closing(Protocol):
    async def aclose(self) -> None: ...


class Parting:
    """`is_running` must be true when something is opened that will be parted with."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None

    @property
    def is_running(self) -> bool:
        return self._nursery is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def part(self, closing: Closing) -> None:
        """When nothing runs here any more, its connection is closed with all the others."""
        if self._nursery is not None:
            with suppress(RuntimeError):  # it has just ended
                self._nursery.start_soon(self._close, closing)

    async def _close(self, closing: Closing) -> None:
        with trio.move_on_after(_CLOSE_S, shield=True):
            try:
                await closing.aclose()
            except Exception:
                log.exception("a download could not be closed")
