"""The one task that serves all connections.

It owns an epoll set of its own. When Trio says that something in the set is ready, the ready
connections are served one after the other without another look at Trio, a bounded batch at a time.
What must be awaited (S3, or whoever a connection is handed to) is waited for elsewhere; meanwhile
its connection is not read, and what its client sends waits in the kernel.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Sequence
from time import perf_counter

import trio

from parparchik.edge.accepting import Acceptor
from parparchik.edge.answering import Answering
from parparchik.edge.connection import GONE, READ_BYTES, Connection, State
from parparchik.edge.limits import Limits
from parparchik.edge.pipeline import Pipeline
from parparchik.edge.statistics import Counts, EdgeStatistics
from parparchik.edge.sweep import SWEEP_S, Sweeper
from parparchik.edge.table import HandOver, Table

BATCH = 64
LOOKS = 4
"""At the set before Trio has its turn, while they find something: coming back from Trio costs as
much as an answer, which tells where requests come one by one."""
TURN_S = 0.005
"""After which Trio has its turn also where they find something: bodies take more time than heads.
"""


class Reactor:
    """One run: from `run`, which makes what it consists of, until that is cancelled or crashes."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        nursery: trio.Nursery,
        *,
        answering: Answering,
        hand_over: HandOver,
        limits: Limits,
        counts: Counts,
        elsewhere: Callable[[], int],
    ) -> None:
        self._answering = answering
        self._counts = counts
        self._draining_since_s = math.inf
        self._table = table = Table(
            nursery, hand_over, limits, counts, self._made_room, elsewhere=elsewhere
        )
        self._pipeline = Pipeline(table, nursery, answering, limits, counts)
        self._sweeper = Sweeper(table, self._pipeline, limits, counts)
        self._acceptor = Acceptor(table.epoll, listeners, table.admit, table.has_room)
        self._acceptor.resume()

    @property
    def count(self) -> int:
        return len(self._table.connections)

    @property
    def taken(self) -> int:
        return self._table.taken

    async def run(self) -> None:
        """Serve until cancelled. What goes wrong with one connection or one question ends that
        alone; anything else is raised."""
        while True:
            if self._pipeline.queued:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._table.epoll.fileno())
            turn_ends_s = perf_counter() + TURN_S
            for _ in range(LOOKS):
                if not self._serve_ready() or perf_counter() > turn_ends_s:
                    break

    async def sweep(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(SWEEP_S)
            self._table.now_s = trio.current_time()
            self._answering.dates.tick()
            self._sweeper.sweep(self._draining_since_s)
            self._answering.access.flush()
            self._acceptor.resume()

    def stop_accepting(self) -> None:
        self._acceptor.stop()

    async def drain(self) -> None:
        """Every connection ends with its next answer, idle ones after a moment; returns when
        there is none."""
        if not self._pipeline.draining:
            self._pipeline.draining = True
            self._draining_since_s = trio.current_time()
        while self._table.connections:
            await self._table.emptied.park()

    def abort(self) -> None:
        self._table.close_all()

    def close(self) -> None:
        """After the run."""
        self._pipeline.ended = True
        self._table.close_all()
        self._counts.accept_pauses += self._acceptor.pauses
        self._table.epoll.close()

    def statistics(self) -> EdgeStatistics:
        return self._counts.snapshot(
            open_now=self.count,
            accept_pauses=self._acceptor.pauses,
            memoised=len(self._answering.memo),
        )

    def _serve_ready(self) -> bool:
        """One batch; whether there was anything. The first half of the loop is the hot path: one
        whole head that is known, the answer in memory, the socket ready to take it."""
        table, pipeline, answering = self._table, self._pipeline, self._answering
        connections, at_once, new_id = table.connections, answering.at_once, answering.new_id
        reading, keeps = State.READING, not pipeline.draining
        accepts: list[int] = []
        answering.dates.tick()
        goes_on = answering.dates.goes_on
        began_s = perf_counter()
        ready = table.epoll.poll(0, BATCH)
        for fd, event in ready:
            connection = connections.get(fd)
            if connection is None:
                accepts.append(fd)
                continue
            if connection.state is not reading:
                self._proceed(connection, event)
                continue
            try:
                data = connection.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                pipeline.end(connection)
                continue
            known = at_once.get(data)
            if known is None or known.ends or connection.received or not keeps:
                pipeline.receive(connection, data, began_s)
                continue
            connection.since_s = table.now_s
            answer = answering.answer_nowait(known)
            if answer is None:
                pipeline.wait(connection, known, began_s)
                continue
            if answer is not known.answer and not answering.prepare(known, answer):
                pipeline.give_once(connection, known, answer, began_s)
                continue
            request_id = new_id()
            table.write(connection, known.beginning + request_id + goes_on + known.body)
            known.record.add(perf_counter() - began_s, connection.client, request_id)
        # Last: a descriptor that was closed in this batch may come back as a new connection's,
        # and the batch's events must not be taken for that one's.
        for fd in accepts:
            if fd in self._acceptor:
                self._acceptor.accept(fd)
        if pipeline.queued:
            pipeline.next_turns(perf_counter())
        answering.access.flush()
        return bool(ready)

    def _proceed(self, connection: Connection, event: int) -> None:
        """Go on with a connection that is not reading requests."""
        if connection.state is State.WRITING:
            if self._table.write_on(connection):
                connection.seen_bytes = 0
                self._pipeline.go_on(connection, perf_counter())
        elif connection.state is State.LINGERING:
            self._table.linger_on(connection)
        elif connection.stream is not None:
            connection.stream.notice(event)
        elif event & GONE:
            self._table.close(connection)
        else:
            # It sends while it waits for an answer, or for its turn: that stays in the kernel.
            self._table.watch(connection, 0)

    def _made_room(self) -> None:
        if not self._acceptor.exhausted:
            self._acceptor.resume()
