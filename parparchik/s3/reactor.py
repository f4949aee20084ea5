"""One task that waits for the answers of all others.

Trio's way of waiting for a socket is a task that sleeps: setting an alarm for it, waking it and
going down through its frames costs more than the answer that it gets. So here all connections that
wait are in one epoll, and that epoll is all that Trio waits for. When it wakes, each of them is
called. What is called must return soon. It must not raise either; if it does, that is its own
misfortune and nobody else's.

A connection stays in the epoll as long as it lives, also while others use it or nobody does, so it
is watched for edges (EPOLLET): what arrives is reported once, and if nobody waits, to nobody.

Time-outs are looked at a few times a second, and only while somebody waits.
"""

from __future__ import annotations

import select
from typing import Protocol

import structlog
import trio

from parparchik.s3.connection import Connection

SWEEP_S = 0.1  # a time-out may come that much later

log = structlog.get_logger(__name__)

_BATCH = 256
_EVENTS = select.EPOLLIN | select.EPOLLET


class Waiter(Protocol):
    """Who waits on one connection."""

    @property
    def deadline_s(self) -> float:
        """Monotonic."""
        ...

    def on_readable(self) -> None:
        """Something may have arrived. Everything is to be read, there is no second call for it."""
        ...

    def on_timeout(self) -> None: ...

    def on_stop(self) -> None:
        """The reactor ends, or one of the calls above has raised."""
        ...


class Reactor:
    """Works while `run` runs; only then may anybody wait."""

    __slots__ = ("_epoll", "_idle", "_waiters")

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._waiters: dict[int, Waiter] = {}  # by file descriptor
        self._idle: trio.Event | None = None  # what the sweep sleeps on while nobody waits

    @property
    def running(self) -> bool:
        return self._epoll is not None

    def wait(self, connection: Connection, waiter: Waiter) -> int:
        """Until `forget`, which takes what this returns, or until one of the calls that end it.
        The connection has to stay open as long."""
        fd = connection.fileno()
        if connection.watched_by is not self._epoll and self._epoll is not None:
            self._epoll.register(fd, _EVENTS)
            connection.watched_by = self._epoll
        self._waiters[fd] = waiter
        if self._idle is not None:
            self._idle.set()
            self._idle = None
        return fd

    def forget(self, fd: int) -> None:
        del self._waiters[fd]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        epoll = self._epoll = select.epoll()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    for fd, _ in epoll.poll(0, _BATCH):
                        waiter = self._waiters.get(fd)
                        if waiter is not None:
                            try:
                                waiter.on_readable()
                            except Exception:
                                log.exception("who waited for S3 failed")
                                self._give_up(fd, waiter)
        finally:
            self._epoll = None
            epoll.close()
            for fd, waiter in list(self._waiters.items()):
                self._stop(fd, waiter)

    async def _sweep(self) -> None:
        while True:
            if not self._waiters:
                self._idle = trio.Event()
                await self._idle.wait()
            await trio.sleep(SWEEP_S)
            self._time_out(trio.current_time())

    def _time_out(self, now_s: float) -> None:
        late = [each for each in self._waiters.items() if each[1].deadline_s <= now_s]
        for fd, waiter in late:
            if self._waiters.get(fd) is waiter:  # whoever was told before may have ended it
                try:
                    waiter.on_timeout()
                except Exception:
                    log.exception("who waited for S3 failed")
                    self._give_up(fd, waiter)

    def _give_up(self, fd: int, waiter: Waiter) -> None:
        """It has just raised. If it waits all the same, it does so no longer."""
        if self._waiters.get(fd) is waiter:
            self._stop(fd, waiter)

    def _stop(self, fd: int, waiter: Waiter) -> None:
        try:
            waiter.on_stop()
        except Exception:
            log.exception("who waited for S3 failed")
        if self._waiters.get(fd) is waiter:
            del self._waiters[fd]
