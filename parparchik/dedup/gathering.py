"""What is asked for while a thread is at work gathers, and is done together when it comes back.

To hand something to a thread and hear of it again costs more than most questions to a database, and
a commit costs an fsync, whatever is in it. So the first who asks has it done at once; those who ask
meanwhile wait, and go next, together. There is no task in the background: one of those who wait
leads the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import outcome
import trio

from parparchik.errors import MetadataUnavailable


class Ticket:
    """A `work` that waits, for whom `outcome` is to be found. `called`: it is known, or, where
    `leads`, it is its turn to lead a batch."""

    __slots__ = ("called", "leads", "outcome", "work")

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work
        self.called = trio.Event()
        self.leads = False
        self.outcome: outcome.Outcome[Any] | None = None


class Gathering:
    """`do` runs in a thread, one batch after another, and finds the outcome of each ticket of a
    batch; there are `most` in one at most."""

    __slots__ = ("_busy", "_closed", "_do", "_idle", "_limiter", "_most", "_waiting")

    def __init__(self, do: Callable[[Sequence[Ticket]], None], most: int) -> None:
        self._do = do
        self._most = most
        self._waiting: deque[Ticket] = deque()
        self._limiter = trio.CapacityLimiter(1)
        self._busy = False
        self._closed = False
        self._idle = trio.Event()  # closed, and nothing waits any more

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return self._busy

    async def ask(self, work: Callable[..., Any]) -> Any:
        """What came of it. Cancelled before its turn, nothing has happened; later, nobody knows.

        Raises what came of it, and MetadataUnavailable.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise MetadataUnavailable("the dedup database is closed")
        ticket = Ticket(work)
        self._waiting.append(ticket)
        if self._busy:
            await self._wait(ticket)
        if ticket.outcome is None:
            await self._lead()
        return cast("outcome.Outcome[Any]", ticket.outcome).unwrap()

    async def close(self, finish: Callable[[], None]) -> None:
        """What waits is still done, and then `finish`, in a thread."""
        self._closed = True
        with trio.CancelScope(shield=True):
            if self._busy:
                await self._idle.wait()
            await trio.to_thread.run_sync(finish, limiter=self._limiter)

    async def _wait(self, ticket: Ticket) -> None:
        try:
            await ticket.called.wait()
        except trio.Cancelled:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if ticket.leads:  # called and cancelled in the same moment
                self._hand_over()
            raise

    async def _lead(self) -> None:
        """Have what waits done; the caller's ticket is the first of it."""
        self._busy = True
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            # Not to be cancelled: the others' is in it.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._do, batch, limiter=self._limiter)
        finally:
            for ticket in batch:
                if ticket.outcome is None:
                    ticket.outcome = outcome.Error(
                        MetadataUnavailable("the dedup database did not answer")
                    )
                ticket.called.set()
            self._hand_over()

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].called.set()
        else:
            self._busy = False
            if self._closed:
                self._idle.set()
