"""Connections that read, each used by one thread at a time.

With a write-ahead log nobody who reads waits for who writes, nor the other way round. A read that
takes long only keeps the log from being begun anew, so what is long is read in pages. What is short
goes to a thread together with what else is asked just then (`gathering`): most of its cost is the
way there and back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import outcome
import trio

from parparchik.dedup.gathering import Gathering, Ticket
from parparchik.dedup.sqlite_connection import Database
from parparchik.errors import MetadataUnavailable

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]

# Of short ones: a page that has to come from the disk keeps those behind it waiting.
LANES = 2
MOST_AT_ONCE = 64


class Readers:
    """At most `width` long reads at once, beside the short ones; connections are opened when they
    are needed."""

    __slots__ = ("_closed", "_database", "_idle", "_lanes", "_limiter")

    def __init__(self, database: Database, width: int) -> None:
        self._database = database
        self._idle: list[sqlite3.Connection] = []
        self._limiter = trio.CapacityLimiter(width)
        self._lanes = [Gathering(self._read_all, MOST_AT_ONCE) for _ in range(LANES)]
        self._closed = False

    async def do(self, read: Read[T]) -> T:
        """What `read` returns: it runs in a thread, on one state of the database, and may take its
        time.

        Raises MetadataUnavailable.
        """
        if self._closed:
            raise MetadataUnavailable("the dedup database is closed")
        ticket = Ticket(read)
        await trio.to_thread.run_sync(self._read_all, [ticket], limiter=self._limiter)
        return cast("outcome.Outcome[T]", ticket.outcome).unwrap()

    async def ask(self, read: Read[T]) -> T:
        """As `do`, for what touches a few pages; the state is not from before it was asked."""
        lane = min(self._lanes, key=lambda lane: (lane.is_busy, len(lane)))
        return cast("T", await lane.ask(read))

    async def close(self) -> None:
        """What was asked is answered; nobody reads for long any more."""
        self._closed = True
        for lane in self._lanes:
            await lane.close(self._close_all)

    # -- in a thread ----------------------------------------------------------------------------

    def _read_all(self, batch: Sequence[Ticket]) -> None:
        connection = None
        try:
            connection = self._take()
            connection.execute("BEGIN")
            for ticket in batch:
                ticket.outcome = self._read(connection, ticket.work)
            connection.execute("ROLLBACK")  # it ends, also where a page of it was damaged
            if not any(isinstance(ticket.outcome, outcome.Error) for ticket in batch):
                self._idle.append(connection)
                connection = None
        except sqlite3.Error as error:
            for ticket in batch:
                ticket.outcome = ticket.outcome or self._failed(error)
        finally:
            if connection is not None:  # what failed with it need not fail again with another
                connection.close()

    def _read(self, connection: sqlite3.Connection, read: Read[T]) -> outcome.Outcome[T]:
        came = outcome.capture(read, connection)
        if isinstance(came, outcome.Error) and isinstance(came.error, sqlite3.Error):
            return self._failed(came.error)
        return came

    def _failed(self, error: sqlite3.Error) -> outcome.Error:
        failure = self._database.failure(error)
        failure.__cause__ = error
        return outcome.Error(failure)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()  # one step for other threads
        except IndexError:
            return self._database.reader()

    def _close_all(self) -> None:
        while self._idle:
            self._idle.pop().close()
