"""What has taken too long is ended. Looked at once a second, so that a request pays nothing."""

from __future__ import annotations

from time import perf_counter

from parparchik.edge.connection import After, Connection, State, unacknowledged_bytes
from parparchik.edge.framing import Refusal
from parparchik.edge.limits import Limits
from parparchik.edge.pipeline import Pipeline
from parparchik.edge.statistics import Counts
from parparchik.edge.table import Table

SWEEP_S = 1.0
LINGER_S = 1.0
"""For a client to close after its last answer, and, while draining, to send a last request."""


class Sweeper:
    def __init__(self, table: Table, pipeline: Pipeline, limits: Limits, counts: Counts) -> None:
        self._table = table
        self._pipeline = pipeline
        self._limits = limits
        self._counts = counts

    def sweep(self, draining_since_s: float) -> None:
        """`draining_since_s` is infinite while nothing drains."""
        now_s = self._table.now_s
        for connection in tuple(self._table.connections.values()):
            waited_s = now_s - connection.since_s
            if connection.state is State.READING:
                drained_s = min(waited_s, now_s - draining_since_s)
                self._sweep_reading(connection, waited_s, drained_s)
            elif connection.state is State.WRITING:
                self._sweep_writing(connection, waited_s)
            elif connection.state is State.STREAMING:
                if connection.stream is not None and connection.stream.blocked:
                    self._sweep_writing(connection, waited_s)
            elif connection.state is State.LINGERING and waited_s > LINGER_S:
                self._table.close(connection)

    def _sweep_reading(self, connection: Connection, waited_s: float, drained_s: float) -> None:
        if connection.received:
            if waited_s > self._limits.header_timeout_s:
                self._counts.timed_out["header"] += 1
                late = Refusal(408, "request timeout")
                connection.received = b""
                response = self._pipeline.refuse(connection, late, perf_counter())
                self._table.finish(connection, response, After.LINGER)
        elif waited_s > self._limits.idle_timeout_s:
            self._time_out(connection, "idle")
        elif drained_s > LINGER_S:
            self._table.close(connection)

    def _sweep_writing(self, connection: Connection, waited_s: float) -> None:
        """A slow client empties the kernel's buffer for long before there is room in it again."""
        left = unacknowledged_bytes(connection.sock)
        if left < connection.unacknowledged:
            connection.since_s = self._table.now_s
        elif waited_s > self._limits.write_timeout_s:
            self._time_out(connection, "write")
        connection.unacknowledged = left

    def _time_out(self, connection: Connection, what: str) -> None:
        self._counts.timed_out[what] += 1
        self._table.close(connection)
