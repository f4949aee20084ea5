"""Connections to the database file, how they are set, and what their errors mean."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from parparchik.dedup.sqlite_schema import OLDEST_SQLITE, migrate
from parparchik.errors import ConfigError, MetadataUnavailable

DURABILITY = ("normal", "full", "extra")

WRITER = (
    # A transaction on a file that refers to a missing blob fails instead of losing content.
    "PRAGMA foreign_keys = ON",
    # 16 MiB: the inner pages of the indexes on digests, which are hit at random.
    "PRAGMA cache_size = -16384",
    # The writer has checkpoints made itself, see sqlite_writer.
    "PRAGMA wal_autocheckpoint = 0",
    # What the WAL grew to while somebody read for long is given back.
    "PRAGMA journal_size_limit = 67108864",
)
READER = (
    "PRAGMA query_only = ON",
    # 4 MiB each; the kernel's cache, which they share, has the rest.
    "PRAGMA cache_size = -4096",
    "PRAGMA wal_autocheckpoint = 0",
)
BOTH = (
    # No memory-mapped reading: an error of the disk would be a SIGBUS that kills the process, and
    # a stray write of any library would go to the file.
    "PRAGMA mmap_size = 0",
    # Damaged pages are found when they are read, not when they have done harm.
    "PRAGMA cell_size_check = ON",
    # The schema of a file that somebody else has written calls no functions.
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    # Apple's fsync leaves bytes in the disk's own cache; elsewhere this changes nothing.
    "PRAGMA fullfsync = ON",
)
AGAIN_S = 0.02
NEVER_WAITS = "PRAGMA busy_timeout = 0"

_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another process for too long",
    sqlite3.SQLITE_LOCKED: "is locked by another process for too long",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: make room, nothing stored is lost",
    sqlite3.SQLITE_READONLY: "may not be written: see that the file, its -wal and -shm, and their"
    " directory belong to this process's user, and that the file system is not mounted read-only",
    sqlite3.SQLITE_PERM: "may not be opened: see to the owner and mode of the file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: see that its directory is there, and that this"
    " process's user may write there",
    sqlite3.SQLITE_CORRUPT: "is damaged: stop parparchik, keep a copy, and restore a backup"
    " (`parparchik dedup import`) or what `sqlite3 FILE .recover` still finds",
    sqlite3.SQLITE_NOTADB: "is no SQLite database, or its beginning is overwritten: restore a"
    " backup (`parparchik dedup import`)",
    sqlite3.SQLITE_IOERR: "cannot be read or written, the disk fails: see the kernel's log",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
}


@dataclass(frozen=True, slots=True)
class Database:
    """`file` is on a local disk: processes share memory beside it. `synchronous` is `full`: every
    commit is on disk when it is acknowledged; `normal` would lose the last ones when the power
    fails, though nothing is damaged; `extra` is `full` in WAL mode. `lock_wait_s` bounds how long
    another process's lock is waited for."""

    file: Path
    synchronous: str = "full"
    lock_wait_s: float = 10.0

    def __post_init__(self) -> None:
        if self.synchronous not in DURABILITY:
            raise ConfigError(
                f"synchronous of the dedup database must be one of {', '.join(DURABILITY)},"
                f" not {self.synchronous!r}"
            )

    def create(self) -> None:
        """The database is there and up to date after this. Raises ConfigError where the settings
        cannot work, MetadataUnavailable."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigError(
                f"SQLite {sqlite3.sqlite_version} is too old for the dedup store: it needs"
                f" {'.'.join(map(str, OLDEST_SQLITE))}"
            )
        if not self.file.parent.is_dir():
            raise ConfigError(f"the dedup database's directory {self.file.parent} does not exist")
        give_up = time.monotonic() + self.lock_wait_s
        while True:
            try:
                mode = self._create()
                break
            except sqlite3.Error as error:
                # SQLite waits for nobody where two make it at once and one has to let go first.
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise self.failure(error) from error
            time.sleep(AGAIN_S)
        if mode != "wal":
            raise ConfigError(
                f"{self.file} cannot have a write-ahead log: put the dedup database on a local disk"
            )

    def writer(self) -> sqlite3.Connection:
        """Once made, it waits for no lock. Never creates the file: an empty database in place of a
        lost one would be a disaster. Raises sqlite3.Error."""
        return self._connect("rw", (*WRITER, NEVER_WAITS))

    def reader(self) -> sqlite3.Connection:
        """It waits for the few moments in which a reader has to. Raises sqlite3.Error."""
        return self._connect("rw", READER)

    def watcher(self) -> sqlite3.Connection:
        """A reader that, once made, waits for nothing. Raises sqlite3.Error."""
        return self._connect("rw", (*READER, NEVER_WAITS))

    def failure(self, error: sqlite3.Error) -> MetadataUnavailable:
        advice = _ADVICE.get(_code(error), "does not work")
        return MetadataUnavailable(f"the dedup database {self.file} {advice} ({error})")

    def _create(self) -> str:
        """The journal mode that the database has then. Raises sqlite3.Error, ConfigError."""
        with closing(self._connect("rwc", WRITER)) as connection:
            migrate(connection, str(self.file))  # first: what is not ours is left as it is
            # Readers are never blocked, and a commit is one fsync. It is kept in the file.
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        return str(mode)

    def _connect(self, mode: str, settings: tuple[str, ...]) -> sqlite3.Connection:
        """Locks are waited for: whoever opens the file may meet those who are just making it."""
        connection = sqlite3.connect(
            f"file:{quote(str(self.file.absolute()))}?mode={mode}",
            uri=True,
            timeout=self.lock_wait_s,  # SQLite's busy handler asks again, with growing pauses
            isolation_level=None,  # transactions begin where the code says so
            check_same_thread=False,  # one thread at a time has it, but not always the same
        )
        try:
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            for setting in (*BOTH, *settings):
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection


def _code(error: sqlite3.Error) -> int:
    """Without what SQLite says beyond its primary result codes."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
