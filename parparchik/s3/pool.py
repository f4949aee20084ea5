"""The connections to one origin: a stack of idle ones, a bound, and a queue for its slots.

Last in, first out: the connection used last is the least likely to have been closed by the server,
and those that a burst left over sink to the bottom, where they get old and are closed. Nothing
here looks through the connections: taking, giving back and waiting cost the same with one as with
a thousand.

A *slot* is the right to have a connection, open or being opened. A connection that is given back
while somebody waits goes straight to who has waited longest; a slot that becomes free likewise.
Hence, while somebody waits, nothing is idle and no slot is free.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import outcome
import trio

from parparchik.s3.connection import Connection


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """`open` includes connections in use and those being opened; `opened` counts since start."""

    open: int
    idle: int
    waiting: int
    opened: int


class Pool:
    """`connect(connect_timeout_s)` opens a connection, raising httpx.ConnectError or
    httpx.ConnectTimeout."""

    __slots__ = (
        "_closed",
        "_connect",
        "_idle",
        "_idle_timeout_s",
        "_max_connections",
        "_opened",
        "_slots_taken",
        "_waiters",
    )

    def __init__(
        self,
        connect: Callable[[float], Awaitable[Connection]],
        *,
        max_connections: int,
        idle_timeout_s: float,
    ) -> None:
        self._connect = connect
        self._max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self._idle: deque[Connection] = deque()  # the longest idle first
        self._waiters: OrderedDict[trio.lowlevel.Task, None] = OrderedDict()
        self._slots_taken = 0
        self._opened = 0
        self._closed = False

    def acquire_nowait(self, now_s: float) -> Connection | None:
        """The idle connection used last, if there is one that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if now_s - connection.idle_since_s > self._idle_timeout_s:
                self._idle.append(connection)  # and all below it are older still
                self._close_idle()
            elif connection.is_stale():
                self.discard(connection)
            else:
                return connection
        return None

    async def acquire(
        self,
        *,
        connect_timeout_s: float = float("inf"),
        pool_timeout_s: float = float("inf"),
        fresh: bool = False,
    ) -> Connection:
        """A connection that is the caller's until `release` or `discard`.

        `fresh` asks for one that has not lain idle: for when an idle one has just turned out to
        be closed, since those below it will be too. Raises httpx.PoolTimeout, and what connecting
        raises.
        """
        if fresh:
            if self._idle and self._slots_taken >= self._max_connections:
                self.discard(self._idle.popleft())
        else:
            idle = self.acquire_nowait(trio.current_time())
            if idle is not None:
                return idle
        if self._slots_taken < self._max_connections:
            self._slots_taken += 1
        else:
            handed = await self._wait(pool_timeout_s)
            if handed is not None:
                return handed
        try:
            connection = await self._connect(connect_timeout_s)
        except BaseException:
            self._free_slot()
            raise
        self._opened += 1
        return connection

    def release(self, connection: Connection) -> None:
        """Give back a connection on which a response was read to its end and nothing beyond."""
        connection.exchanges += 1
        if self._closed:
            self.discard(connection)
        elif self._waiters:
            self._hand_over(connection)
        else:
            connection.idle_since_s = trio.current_time()
            self._idle.append(connection)
            self._close_expired(connection.idle_since_s)

    def discard(self, connection: Connection) -> None:
        """Close a connection that must not be used again."""
        connection.close()
        self._free_slot()

    def close_expired(self) -> None:
        """Close what has been idle for too long; for a process in which nothing happens."""
        self._close_expired(trio.current_time())

    def close(self) -> None:
        """From now on nothing is kept: what is idle is closed, and what is in use, or still gets
        opened for a last request, when it is given back."""
        self._closed = True
        self._close_idle()

    def reopen(self) -> None:
        """Keep connections again."""
        self._closed = False

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            open=self._slots_taken,
            idle=len(self._idle),
            waiting=len(self._waiters),
            opened=self._opened,
        )

    def _close_expired(self, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since_s > self._idle_timeout_s:
            self.discard(self._idle.popleft())

    def _close_idle(self) -> None:
        while self._idle:
            self.discard(self._idle.pop())

    async def _wait(self, timeout_s: float) -> Connection | None:
        """Queue for a connection or, if None is returned, for the slot of one.

        Trio delivers either what was handed over or the cancellation, never both: nothing handed
        over can get lost.
        """
        task = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            del self._waiters[task]
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiters[task] = None
        with trio.move_on_after(timeout_s):
            handed: Connection | None = await trio.lowlevel.wait_task_rescheduled(abort)
            return handed
        raise httpx.PoolTimeout(
            f"all {self._max_connections} connections are in use, for {timeout_s:g} s"
        )

    def _hand_over(self, connection: Connection | None) -> None:
        task, _ = self._waiters.popitem(last=False)
        trio.lowlevel.reschedule(task, outcome.Value(connection))

    def _free_slot(self) -> None:
        if self._waiters:
            self._hand_over(None)
        else:
            self._slots_taken -= 1
