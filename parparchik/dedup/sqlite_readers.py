"""Connections that read, each used by one thread at a time.

With a write-ahead log nobody who reads waits for who writes, nor the other way round. A read that
takes long only keeps the log from being begun anew, so what is long is read in pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import trio

from parparchik.dedup.sqlite_connection import Database
from parparchik.errors import MetadataUnavailable

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]


class Readers:
    """At most `width` read at once; connections are opened when they are needed."""

    __slots__ = ("_closed", "_database", "_idle", "_limiter")

    def __init__(self, database: Database, width: int) -> None:
        self._database = database
        self._idle: list[sqlite3.Connection] = []
        self._limiter = trio.CapacityLimiter(width)
        self._closed = False

    async def do(self, read: Read[T]) -> T:
        """What `read` returns: it runs in a thread, on one state of the database.

        Raises MetadataUnavailable.
        """
        if self._closed:
            raise MetadataUnavailable("the dedup database is closed")
        return await trio.to_thread.run_sync(self._read, read, limiter=self._limiter)

    async def close(self) -> None:
        """Nobody reads any more."""
        self._closed = True
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._close_all)

    # -- in a thread ----------------------------------------------------------------------------

    def _read(self, read: Read[T]) -> T:
        connection = None
        try:
            connection = self._take()
            connection.execute("BEGIN")
            result = read(connection)
            connection.execute("ROLLBACK")  # it ends, also where a page of it was damaged
        except sqlite3.Error as error:
            raise self._database.failure(error) from error
        else:
            self._idle.append(connection)
            connection = None
            return result
        finally:
            if connection is not None:  # what failed with it need not fail again with another
                connection.close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()  # one step for other threads
        except IndexError:
            return self._database.reader()

    def _close_all(self) -> None:
        while self._idle:
            self._idle.pop().close()
