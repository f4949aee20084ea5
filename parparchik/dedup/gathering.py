"""What is asked for while a thread is at work gathers, and is done together when it comes back.

To hand something to a thread and hear of it again costs more than most questions to a database, and
a commit costs an fsync, whatever is in it. So the first who asks has it done at once; those who ask
meanwhile wait, and go next, together. No task sees to that: what the thread is done with is told
from Trio's own loop, which then hands it the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import outcome
import structlog
import trio

from parparchik.errors import MetadataUnavailable

Then = Callable[[outcome.Outcome[Any]], object]
"""Told what came of it, once, from the event loop."""

log = structlog.get_logger(__name__)


def _nobody(_: object) -> None:
    """Is told nothing."""


class Ticket:
    """A `work` that waits, or is being done, for whom `outcome` is to be found; `then` is told."""

    __slots__ = ("outcome", "then", "work")

    def __init__(self, work: Callable[..., Any], then: Then = _nobody) -> None:
        self.work = work
        self.then = then
        self.outcome: outcome.Outcome[Any] | None = None


class Gathering:
    """`do` runs in a thread, one batch after another, and finds the outcome of each ticket of a
    batch; there are `most` in one at most."""

    __slots__ = ("_busy", "_closed", "_do", "_idle", "_most", "_waiting")

    def __init__(self, do: Callable[[Sequence[Ticket]], None], most: int) -> None:
        self._do = do
        self._most = most
        self._waiting: deque[Ticket] = deque()
        self._busy = False
        self._closed = False
        self._idle = trio.Event()  # closed, and nothing waits any more

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return self._busy

    def ask_soon(self, work: Callable[..., Any], then: Then) -> Ticket:
        """`then` is called when it is done, never before this returns. It must not raise. Raises
        MetadataUnavailable where nothing is taken any more."""
        if self._closed:
            raise MetadataUnavailable("the dedup database is closed")
        ticket = Ticket(work, then)
        self._waiting.append(ticket)
        if not self._busy:
            self._begin()
        return ticket

    async def ask(self, work: Callable[..., Any]) -> Any:
        """What came of it. Cancelled before its turn, nothing has happened; later, nobody knows.

        Raises what came of it, and MetadataUnavailable.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        ticket = self.ask_soon(
            work, partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
        )

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            ticket.then = _nobody
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    async def close(self, finish: Callable[[], None]) -> None:
        """What waits is still done, and then `finish`, in a thread."""
        self._closed = True
        with trio.CancelScope(shield=True):
            if self._busy:
                await self._idle.wait()
            await trio.to_thread.run_sync(finish)

    def _begin(self) -> None:
        self._busy = True
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        deliver = partial(self._deliver, trio.lowlevel.current_trio_token(), batch)
        try:
            # With nobody's context: what is done there is many's.
            trio.lowlevel.start_thread_soon(partial(self._do, batch), deliver)
        except RuntimeError as error:  # this process may have no more threads
            deliver(outcome.Error(error))

    def _deliver(
        self,
        token: trio.lowlevel.TrioToken,
        batch: Sequence[Ticket],
        result: outcome.Outcome[None],
    ) -> None:
        """In the thread, or where there is none."""
        with suppress(trio.RunFinishedError):  # nobody waits any more
            token.run_sync_soon(self._done, batch, result)

    def _done(self, batch: Sequence[Ticket], result: outcome.Outcome[None]) -> None:
        if isinstance(result, outcome.Error):
            log.error("dedup database: a thread failed", exc_info=result.error)
        for ticket in batch:
            came = ticket.outcome
            if came is None:
                came = outcome.Error(MetadataUnavailable("the dedup database did not answer"))
            try:
                ticket.then(came)
            except Exception:  # it must not raise; that it has is nobody else's concern
                log.exception("who asked the dedup database failed")
        if self._waiting:
            self._begin()
            return
        self._busy = False
        if self._closed:
            self._idle.set()
