"""All changes of this process go through one connection, as many in one commit as have gathered.

Each is a change of its own: what it raises undoes it, and nothing else. As a rule there is nothing
to be undone, for changes look first and write last; so they go without savepoints, which would cost
a copy of every page that they write. Where one has written and raises, all are made again, with
savepoints. None is answered before the commit that it is in is on disk (`gathering`): killed
before that, nobody has been told of any.

Other processes have writers of their own; SQLite's lock, which is taken before a transaction reads
(BEGIN IMMEDIATE), has them take turns, so that no transaction ever fails for another's sake. Those
who wait for it stand in line (`sqlite_line`), and ask for it several times a millisecond: SQLite's
own handler sleeps for up to a hundred, and who sleeps longest comes last again and again.

So a change waits for its own process's commit, and for a commit or so of every other process; and
for a checkpoint, now and then. Where all that takes longer than `lock_wait_s`, because the disk
stands still, MetadataUnavailable is raised: nothing was changed, and clients are told to come
again.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import outcome
import structlog

from parparchik.dedup.gathering import Gathering, Ticket
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_line import Line
from parparchik.errors import MetadataUnavailable

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]

MOST_IN_ONE = 256  # so that other processes have their turn
# What a change can have done wrong, as opposed to what the database cannot do.
OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
LOCK_PAUSE_S = (0.0002, 0.0006)
# How much of the wait others are let go first: one of them may have been stopped.
LINE_SHARE = 0.5
# Rows changed until what the WAL holds is brought to the database file: at 3 pages each 48 MiB. A
# page that many of them change is written there once.
CHECKPOINT_AFTER = 4000
# How long a checkpoint may wait for readers, and others for it. Then a part of it is done.
CHECKPOINT_WAIT_S = 0.2

log = structlog.get_logger(__name__)


class Writer:
    """`commits` and `changes` count what was done."""

    __slots__ = ("_changes", "_connection", "_database", "_line", "_uncopied", "changes", "commits")

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self.changes = 0
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._line: Line | None = None
        self._changes = Gathering(self._commit, MOST_IN_ONE)
        self._uncopied = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._changes)

    async def do(self, change: Change[T]) -> T:
        """What `change` returns, when it is on disk. What it raises undoes it, and only it.

        It runs in a thread, within a transaction, perhaps once more in another one, and uses
        nothing but the connection it is given.
        Cancelled before its turn, nothing has happened; later, nobody knows. Raises
        MetadataUnavailable.
        """
        return cast("T", await self._changes.ask(change))

    def do_soon(self, change: Change[T], then: Callable[[outcome.Outcome[T]], None]) -> bool:
        """The same without a task: `then` is told later, once, from the event loop, and must not
        raise. False where nothing is taken any more."""
        try:
            self._changes.ask_soon(change, then)
        except MetadataUnavailable:
            return False
        return True

    async def close(self) -> None:
        """What waits is still done."""
        await self._changes.close(self._end)

    # -- in a thread ----------------------------------------------------------------------------

    def _commit(self, batch: Sequence[Ticket]) -> None:
        try:
            if self._connection is None:
                self._connection = self._database.writer()
            before = self._connection.total_changes
            outcomes = self._transaction(self._connection, [ticket.work for ticket in batch])
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
        self._uncopied += self._connection.total_changes - before
        if self._uncopied >= CHECKPOINT_AFTER and self._line is not None:
            self._checkpoint(self._connection, self._line)

    def _transaction(
        self, connection: sqlite3.Connection, changes: Sequence[Change[Any]]
    ) -> Sequence[outcome.Outcome[Any]]:
        """One commit of all. Raises sqlite3.Error where none of them was made."""
        self._begin(connection)
        outcomes = _made(connection, changes)
        if outcomes is None:
            connection.execute("ROLLBACK")
            self._begin(connection)
            outcomes = _made_one_by_one(connection, changes)
        connection.execute("COMMIT")
        return outcomes

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the lock. Raises sqlite3.Error, also where others have had it for too long."""
        if self._line is None:
            self._line = Line(self._database.file)
        if self._line.is_first() and _has_begun(connection):
            return
        self._line.stand()
        try:
            self._begin_in_turn(connection, self._line)
        finally:
            self._line.leave()

    def _begin_in_turn(self, connection: sqlite3.Connection, line: Line) -> None:
        wait_s = self._database.lock_wait_s
        began_at = time.monotonic()
        while True:
            waited_s = time.monotonic() - began_at
            is_first = line.is_first() or waited_s > wait_s * LINE_SHARE
            if is_first and _has_begun(connection, may_fail=waited_s <= wait_s):
                return
            time.sleep(random.uniform(*LOCK_PAUSE_S))  # noqa: S311 - nobody must not know it

    def _checkpoint(self, connection: sqlite3.Connection, line: Line) -> None:
        """Not SQLite's automatic one, which lets others write meanwhile: until SQLite 3.51.3 a
        checkpoint that raced with a commit that begins the WAL anew could damage the database.
        FULL keeps writers out, where it gets the lock at all: else it is no better, and copies
        little. So it is made in our turn, and others stand in line behind us until it is over. It
        waits for readers, though not for long."""
        self._uncopied = 0
        line.stand()
        try:
            self._begin_in_turn(connection, line)
            connection.execute("ROLLBACK")
            connection.execute(f"PRAGMA busy_timeout = {int(CHECKPOINT_WAIT_S * 1000)}")
            connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            connection.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:  # what was committed is safe all the same
            log.warning("dedup database: a checkpoint failed", reason=str(error))
            self._give_up()
        finally:
            line.leave()

    def _end(self) -> None:
        self._give_up()
        if self._line is not None:
            self._line.close()

    def _give_up(self) -> None:
        """The next commit has a new connection: what failed need not fail again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()  # rolls back
            except sqlite3.Error as error:
                log.warning("dedup database: a connection does not close", reason=str(error))


def _has_begun(connection: sqlite3.Connection, *, may_fail: bool = True) -> bool:
    """False where another process has the lock. Raises sqlite3.Error; in that case, too, unless it
    `may_fail`."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if may_fail and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    return True


def _made(
    connection: sqlite3.Connection, changes: Sequence[Change[Any]]
) -> Sequence[outcome.Outcome[Any]] | None:
    """None: one has raised when it had changed something."""
    outcomes = []
    for change in changes:
        before = connection.total_changes
        result = _outcome(change, connection)
        if isinstance(result, outcome.Error) and connection.total_changes != before:
            return None
        outcomes.append(result)
    return outcomes


def _made_one_by_one(
    connection: sqlite3.Connection, changes: Sequence[Change[Any]]
) -> Sequence[outcome.Outcome[Any]]:
    outcomes = []
    for change in changes:
        connection.execute("SAVEPOINT change")
        result = _outcome(change, connection)
        if isinstance(result, outcome.Error):
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        outcomes.append(result)
    return outcomes


def _outcome(change: Change[Any], connection: sqlite3.Connection) -> outcome.Outcome[Any]:
    """Raises sqlite3.Error where the database itself has failed."""
    result: outcome.Outcome[Any] = outcome.capture(change, connection)
    if isinstance(result, outcome.Error):
        error = result.error
        if isinstance(error, sqlite3.Error) and not isinstance(error, OURS):
            raise error
    return result
