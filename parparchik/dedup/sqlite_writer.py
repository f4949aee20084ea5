"""All changes of this process go through one connection, as many in one commit as have gathered.

A commit costs an fsync, whatever it holds. So the first who has a change commits it at once, in a
thread; what is asked for meanwhile waits, and goes into the next commit together. There is no task
in the background: one of those who wait leads the next commit.

Other processes have writers of their own; SQLite's lock, which is taken before a transaction reads
(BEGIN IMMEDIATE), has them take turns, so that no transaction ever fails for another's sake. The
lock is asked for every millisecond or so: SQLite's own handler sleeps for up to a hundred, and who
sleeps longest comes last again and again.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

import outcome
import structlog
import trio

from parparchik.dedup.sqlite_connection import Database
from parparchik.errors import MetadataUnavailable

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]

MOST_IN_ONE = 256  # so that other processes have their turn
# What a change can have done wrong, as opposed to what the database cannot do.
OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
LOCK_PAUSE_S = (0.0005, 0.0015)
# Changes until what the WAL holds is brought to the database file: at 7 pages each some 14 MiB.
CHECKPOINT_AFTER = 500
# How long a checkpoint may wait for readers, and others for it. Then a part of it is done.
CHECKPOINT_WAIT_S = 0.2

log = structlog.get_logger(__name__)


class _Ticket:
    """A change that waits. `called`: its outcome is known, or, where `leads`, it is its turn to
    lead a commit."""

    __slots__ = ("called", "change", "leads", "outcome")

    def __init__(self, change: Change[Any]) -> None:
        self.change = change
        self.called = trio.Event()
        self.leads = False
        self.outcome: outcome.Outcome[Any] | None = None


class Writer:
    """`commits` and `changes` count what was done."""

    __slots__ = (
        *("_busy", "_closed", "_connection", "_database", "_idle", "_limiter", "_uncopied"),
        *("_waiting", "changes", "commits"),
    )

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self.changes = 0
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._waiting: deque[_Ticket] = deque()
        self._limiter = trio.CapacityLimiter(1)
        self._busy = False
        self._closed = False
        self._idle = trio.Event()  # nothing waits any more, and nothing will
        self._uncopied = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def do(self, change: Change[T]) -> T:
        """What `change` returns, when it is on disk. What it raises undoes it, and only it.

        It runs in a thread, within a transaction, and uses nothing but the connection it is given.
        Cancelled before its turn, nothing has happened; later, nobody knows. Raises
        MetadataUnavailable.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise MetadataUnavailable("the dedup database is closed")
        ticket = _Ticket(change)
        self._waiting.append(ticket)
        if self._busy:
            await self._wait(ticket)
        if ticket.outcome is None:
            await self._lead()
        return cast("T", cast("outcome.Outcome[Any]", ticket.outcome).unwrap())

    async def close(self) -> None:
        """What waits is still done."""
        self._closed = True
        with trio.CancelScope(shield=True):
            if self._busy:
                await self._idle.wait()
            await trio.to_thread.run_sync(self._give_up, limiter=self._limiter)

    async def _wait(self, ticket: _Ticket) -> None:
        try:
            await ticket.called.wait()
        except trio.Cancelled:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if ticket.leads:  # called and cancelled in the same moment
                self._hand_over()
            raise

    async def _lead(self) -> None:
        """Commit what waits; the caller's ticket is the first of it."""
        self._busy = True
        batch = [self._waiting.popleft() for _ in range(min(MOST_IN_ONE, len(self._waiting)))]
        try:
            # Not to be cancelled: the others' changes are in it.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._commit, batch, limiter=self._limiter)
        finally:
            for ticket in batch:
                if ticket.outcome is None:
                    ticket.outcome = outcome.Error(MetadataUnavailable("the commit failed"))
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

    # -- in a thread ----------------------------------------------------------------------------

    def _commit(self, batch: list[_Ticket]) -> None:
        try:
            if self._connection is None:
                self._connection = self._database.writer()
            self._begin(self._connection)
            outcomes = _transaction(self._connection, [ticket.change for ticket in batch])
        except sqlite3.Error as error:
            log.warning("dedup database: a commit failed", changes=len(batch), reason=str(error))
            self._give_up()
            for ticket in batch:
                ticket.outcome = outcome.Error(self._database.failure(error))
            return
        for ticket, result in zip(batch, outcomes, strict=True):
            ticket.outcome = result
        self.commits += 1
        self.changes += len(batch)
        self._uncopied += len(batch)
        if self._uncopied >= CHECKPOINT_AFTER:
            self._checkpoint(self._connection)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the lock. Raises sqlite3.Error, also where others have had it for too long."""
        give_up_at = time.monotonic() + self._database.lock_wait_s
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at:
                    raise
                time.sleep(random.uniform(*LOCK_PAUSE_S))  # noqa: S311 - nobody must not know it
            else:
                return

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Not SQLite's automatic one, which lets others write meanwhile: until SQLite 3.51.3 a
        checkpoint that raced with a commit that begins the WAL anew could damage the database.
        FULL keeps writers out. It waits for readers, though not for long."""
        self._uncopied = 0
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(CHECKPOINT_WAIT_S * 1000)}")
            connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            connection.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:  # what was committed is safe all the same
            log.warning("dedup database: a checkpoint failed", reason=str(error))
            self._give_up()

    def _give_up(self) -> None:
        """The next commit has a new connection: what failed need not fail again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()  # rolls back
            except sqlite3.Error as error:
                log.warning("dedup database: a connection does not close", reason=str(error))


def _transaction(
    connection: sqlite3.Connection, changes: list[Change[Any]]
) -> list[outcome.Outcome[Any]]:
    """One commit of all, begun before. Raises sqlite3.Error where none of them was made."""
    execute = connection.execute
    outcomes: list[outcome.Outcome[Any]] = []
    for change in changes:
        execute("SAVEPOINT change")
        result = outcome.capture(change, connection)
        if isinstance(result, outcome.Error):
            if isinstance(result.error, sqlite3.Error) and not isinstance(result.error, OURS):
                raise result.error  # the database itself has failed
            execute("ROLLBACK TO change")
        execute("RELEASE change")
        outcomes.append(result)
    execute("COMMIT")
    return outcomes
