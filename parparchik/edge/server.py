"""The edge plane's door: everything that a server does with it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import trio

from parparchik.access import AccessLog, RateLimiter, RequestIds
from parparchik.edge.answering import Answering
from parparchik.edge.deed import Act, nobody_acts
from parparchik.edge.limits import Limits
from parparchik.edge.reactor import Reactor
from parparchik.edge.statistics import Counts, EdgeStatistics
from parparchik.edge.table import HandOver
from parparchik.edge.understand import Ask


class Edge:
    """Answers on plain HTTP/1.1 connections.

    `ask` understands a request for a file, `act` one that changes some. `hand_over` gets each
    connection that brings something else. A `limiter` is asked about every request, also about one
    whose head is known. Connections `elsewhere` count as its own against the limit of them; it
    looks once a second whether there is room again.
    """

    def __init__(
        self,
        *,
        ask: Ask,
        hand_over: HandOver,
        access: AccessLog,
        request_ids: RequestIds,
        act: Act = nobody_acts,
        limits: Limits | None = None,
        limiter: RateLimiter | None = None,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self._hand_over = hand_over
        self._elsewhere = elsewhere
        self._limits = limits or Limits()
        self._counts = Counts()
        self._answering = Answering(
            ask=ask,
            act=act,
            access=access,
            request_ids=request_ids,
            limits=self._limits,
            limiter=limiter,
        )
        self._reactor: Reactor | None = None  # while it serves

    async def serve(
        self,
        listeners: Sequence[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and answer until cancelled; `listeners` do not block and stay the caller's.
        Raises what broke the edge itself, with all its connections closed."""
        async with trio.open_nursery() as nursery:
            reactor = self._reactor = Reactor(
                listeners,
                nursery,
                answering=self._answering,
                hand_over=self._hand_over,
                limits=self._limits,
                counts=self._counts,
                elsewhere=self._elsewhere,
            )
            try:
                task_status.started()
                nursery.start_soon(reactor.sweep)
                await reactor.run()
            finally:
                self._reactor = None
                reactor.close()

    def renew(
        self,
        *,
        ask: Ask,
        access: AccessLog,
        act: Act = nobody_acts,
        limiter: RateLimiter | None = None,
    ) -> None:
        """Ask and report elsewhere from now on: what was understood before is forgotten. Answers
        that are being waited for still come from where they were asked."""
        self._answering.renew(ask, act, access, limiter)

    def stop_accepting(self) -> None:
        """Accept what is queued, and then no more."""
        if self._reactor is not None:
            self._reactor.stop_accepting()

    async def drain(self) -> None:
        """Each connection ends with its next answer (`Connection: close`), an idle one after a
        second; returns when none is left. Those that were handed over do not count."""
        if self._reactor is not None:
            await self._reactor.drain()

    def abort(self) -> None:
        """Close every connection of the edge at once."""
        if self._reactor is not None:
            self._reactor.abort()

    @property
    def count(self) -> int:
        """Connections of the edge: not those that were handed over."""
        return 0 if self._reactor is None else self._reactor.count

    @property
    def taken(self) -> int:
        """What counts against the limit: with those that were handed over and are not over."""
        return 0 if self._reactor is None else self._reactor.taken

    def statistics(self) -> EdgeStatistics:
        if self._reactor is None:
            return self._counts.snapshot(
                open_now=0, accept_pauses=0, memoised=len(self._answering.memo)
            )
        return self._reactor.statistics()
