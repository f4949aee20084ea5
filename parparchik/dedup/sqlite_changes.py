"""Whether a SQLite database has changed, without reading it.

`PRAGMA data_version` is another number whenever another connection, of whatever process, has
committed since it was last asked on this one. What it looks at is memory that all processes share:
so it is asked in the event loop, some microseconds at a time, and never waits for a lock.
"""

from __future__ import annotations

import sqlite3

from parparchik.dedup.sqlite_connection import Database


class Changes:
    """Has a connection of its own, that reads nothing else."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Raises MetadataUnavailable. Not in the event loop."""
        try:
            self._connection = self._database.watcher()
        except sqlite3.Error as error:
            raise self._database.failure(error) from error

    def state(self) -> int | None:
        """None where that cannot be told just now: while another process recovers the database,
        and whenever it is damaged or not open. Who has to know reads, and is told what is wrong."""
        if self._connection is None:
            return None
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        found: int = version
        return found

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
