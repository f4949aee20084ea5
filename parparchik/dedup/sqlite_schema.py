"""The tables, and how a database of an older version of this program becomes one of this.

`user_version` counts the migrations that a database has had. A migration, once released, is never
edited: another one is added. Text is compared byte by byte (collation BINARY, encoding UTF-8),
which is the order in which files are listed.
"""

from __future__ import annotations

import sqlite3

from parparchik.errors import ConfigError

APPLICATION_ID = 0x70617270  # "parp": tells our databases from those of others
OLDEST_SQLITE = (3, 24, 0)  # ON CONFLICT DO UPDATE

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Files refer to blobs by number: a digest is stored once, and its index once.
        """CREATE TABLE blobs (
            id INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            key TEXT NOT NULL UNIQUE,
            logical_bytes INTEGER NOT NULL,
            stored_bytes INTEGER NOT NULL,
            orphaned_at REAL -- since when no file has it; the files decide, this finds it quickly
        )""",
        "CREATE INDEX blobs_orphaned ON blobs (orphaned_at) WHERE orphaned_at IS NOT NULL",
        # WITHOUT ROWID: a folder's files lie side by side, and a path is stored once.
        """CREATE TABLE files (
            path TEXT PRIMARY KEY NOT NULL,
            version_s INTEGER NOT NULL,
            blob INTEGER NOT NULL REFERENCES blobs (id)
        ) WITHOUT ROWID""",
        "CREATE INDEX files_blob ON files (blob)",
        """CREATE TABLE claims (
            digest TEXT NOT NULL,
            token TEXT NOT NULL,
            key TEXT NOT NULL,
            ends_at REAL NOT NULL,
            PRIMARY KEY (digest, token)
        ) WITHOUT ROWID""",
        "CREATE INDEX claims_key ON claims (key)",
        # A key that was deleted stays for a while, so that it is not given out again.
        """CREATE TABLE garbage (
            key TEXT PRIMARY KEY NOT NULL,
            deleted_at REAL -- NULL: S3 may still have it
        ) WITHOUT ROWID""",
        "CREATE INDEX garbage_deleted ON garbage (deleted_at)",
        """CREATE TABLE tombstones (
            path TEXT PRIMARY KEY NOT NULL,
            version_s INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE lead (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            owner TEXT NOT NULL,
            ends_at REAL NOT NULL
        )""",
    ),
    (
        "ALTER TABLE blobs ADD COLUMN lost_at REAL",  # since when S3 is known not to have it
        "CREATE INDEX blobs_lost ON blobs (lost_at) WHERE lost_at IS NOT NULL",
    ),
)
NEWEST = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Up to the newest version, all or nothing, whichever process comes first.

    Raises ConfigError for a database of a newer program, or of another one; sqlite3.Error.
    """
    # At one moment: another process may be making it, and half of that is nobody's.
    connection.execute("BEGIN")
    try:
        if _version(connection, name) == NEWEST:
            return
    finally:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Again: another process may have done it while this one waited for the lock.
        for migration in MIGRATIONS[_version(connection, name) :]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {NEWEST}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, name: str) -> int:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise ConfigError(
            f"{name} is a database of another program; name a file of its own for the dedup store"
        )
    if version > NEWEST:
        raise ConfigError(
            f"{name} has version {version}, written by a newer parparchik; this one knows up to"
            f" {NEWEST}: run the newer one, or restore a backup from before the upgrade"
        )
    return int(version)
