"""Reading an answer from a connection, as far as it takes.

The head of an answer is what a task waits for longest, and it comes in one piece. Where the reactor
runs, the task only lies down until that has called: waiting for a socket in Trio's own way takes an
alarm, and a scope for the time-out. Bodies, which come in many pieces, are read by the task itself,
as fast as it goes and no faster.
"""

from __future__ import annotations

import httpx
import trio
from outcome import Error, Outcome, Value

from parparchik.s3.connection import RECEIVE_BYTES, Connection
from parparchik.s3.limit import TimeLimit
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import ResponseParser


async def receive_head(connection: Connection, parser: ResponseParser) -> None:
    """Raises httpx.ReadError and httpx.RemoteProtocolError."""
    while not parser.head_complete:
        await _receive(connection, parser)


async def receive_head_within(
    connection: Connection,
    parser: ResponseParser,
    timeout_s: float,
    reactor: Reactor | None,
    limit: TimeLimit,
) -> None:
    """Raises httpx.ReadTimeout, too. Without a reactor that runs, the task waits by itself."""
    deadline_s = trio.current_time() + timeout_s
    if reactor is not None and reactor.running:
        first_s = min(deadline_s, limit.deadline_s)
        await _Sleeper(connection, parser, first_s, reactor).sleep()
    if not parser.head_complete:
        limit.begin()
        with trio.move_on_at(deadline_s):
            await receive_head(connection, parser)
    if not parser.head_complete:
        raise httpx.ReadTimeout(f"no response within {timeout_s:g} s")


async def receive_within(
    connection: Connection, parser: ResponseParser, timeout_s: float, max_bytes: int
) -> None:
    """Feed the parser with what arrives next of a body; raises httpx.ReadTimeout, too."""
    with trio.move_on_after(timeout_s):
        await _receive(connection, parser, max_bytes)
        return
    raise httpx.ReadTimeout(f"nothing received for {timeout_s:g} s")


async def _receive(
    connection: Connection, parser: ResponseParser, max_bytes: int = RECEIVE_BYTES
) -> None:
    data = await connection.receive(max_bytes)
    if data:
        parser.feed(data)
    else:
        parser.feed_eof()


class _Sleeper:
    """A task that sleeps while the reactor waits for a head in its place; a `Waiter`."""

    __slots__ = ("_connection", "_fd", "_parser", "_reactor", "_task", "deadline_s")

    def __init__(
        self, connection: Connection, parser: ResponseParser, deadline_s: float, reactor: Reactor
    ) -> None:
        self._connection = connection
        self._parser = parser
        self._reactor = reactor
        self._task = trio.lowlevel.current_task()
        self._fd = -1
        self.deadline_s = deadline_s

    async def sleep(self) -> None:
        """Until the head is complete, it is too late for it, or the reactor stops. Raises what
        receiving and the parser raise. Who is cancelled leaves the connection to be closed."""
        self._fd = self._reactor.wait(self._connection, self)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def on_readable(self) -> None:
        try:
            while not self._parser.head_complete:
                data = self._connection.receive_nowait()
                if data is None:
                    return
                if data:
                    self._parser.feed(data)
                else:
                    self._parser.feed_eof()
        except Exception as error:  # noqa: BLE001  it is raised in the task, who asked for it
            self._wake(Error(error))
        else:
            self._wake(Value(None))

    def on_timeout(self) -> None:
        self.on_readable()  # it may have been this process that was held up, not S3
        if self._fd >= 0:
            self._wake(Value(None))

    def on_stop(self) -> None:
        self._wake(Value(None))

    def _wake(self, outcome: Outcome[None]) -> None:
        self._forget()
        trio.lowlevel.reschedule(self._task, outcome)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._forget()
        return trio.lowlevel.Abort.SUCCEEDED

    def _forget(self) -> None:
        self._reactor.forget(self._fd)
        self._fd = -1
