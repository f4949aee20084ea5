"""What the cleaner does, as SQL: each function is one change or one read, in a transaction of the
caller's."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from parparchik.dedup.keys import REST_S
from parparchik.dedup.sqlite_files import DISCARD, end_claim
from parparchik.dedup.types import Blob, Totals

UNKNOWN = """SELECT NOT EXISTS (SELECT 1 FROM blobs WHERE key = :key)
    AND NOT EXISTS (SELECT 1 FROM claims WHERE key = :key)
    AND NOT EXISTS (SELECT 1 FROM garbage WHERE key = :key AND deleted_at IS NULL)"""
# That a blob is marked an orphan is not enough: the files decide.
ORPHANS = """SELECT id, key FROM blobs WHERE orphaned_at < ?
    AND NOT EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)
    AND NOT EXISTS (SELECT 1 FROM claims WHERE digest = blobs.digest)
    ORDER BY orphaned_at LIMIT ?"""
BLOBS = """SELECT digest, key, logical_bytes, stored_bytes FROM blobs
    WHERE digest > ? ORDER BY digest LIMIT ?"""
# What no change of ours leaves behind, and how it is mended.
FAULTS = {
    "files refer to a blob that is not known": "SELECT count(*) FROM files"
    " WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = files.blob)",
    "blobs are marked orphans and have files": "SELECT count(*) FROM blobs"
    " WHERE orphaned_at IS NOT NULL AND EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    "blobs have no file and are not marked orphans": "SELECT count(*) FROM blobs"
    " WHERE orphaned_at IS NULL AND NOT EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    "keys are a blob's and garbage": "SELECT count(*) FROM garbage"
    " WHERE deleted_at IS NULL AND key IN (SELECT key FROM blobs)",
}
MENDS = (
    "UPDATE blobs SET orphaned_at = NULL"
    " WHERE orphaned_at IS NOT NULL AND EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    "UPDATE blobs SET orphaned_at = :now"
    " WHERE orphaned_at IS NULL AND NOT EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    "DELETE FROM garbage WHERE deleted_at IS NULL AND key IN (SELECT key FROM blobs)",
)
MOST_COMPLAINTS = 100


def discard_orphans(
    connection: sqlite3.Connection, older_than_s: float, now_s: float, limit: int
) -> int:
    query = "SELECT digest, token FROM claims WHERE ends_at <= ?"
    for digest, token in connection.execute(query, (now_s,)).fetchall():
        end_claim(connection, digest, token)
    orphans = connection.execute(ORPHANS, (older_than_s, limit)).fetchall()
    for blob, key in orphans:
        connection.execute("DELETE FROM blobs WHERE id = ?", (blob,))
        connection.execute(DISCARD, {"key": key})
    return len(orphans)


def garbage(connection: sqlite3.Connection, limit: int) -> Sequence[str]:
    query = "SELECT key FROM garbage WHERE deleted_at IS NULL ORDER BY key LIMIT ?"
    return [key for (key,) in connection.execute(query, (limit,))]


def collected(connection: sqlite3.Connection, keys: Sequence[str], now_s: float) -> None:
    connection.executemany(
        "INSERT INTO garbage (key, deleted_at) VALUES (?, ?) ON CONFLICT (key)"
        " DO UPDATE SET deleted_at = excluded.deleted_at",
        [(key, now_s) for key in keys],
    )
    connection.execute("DELETE FROM garbage WHERE deleted_at <= ?", (now_s - REST_S,))


def unknown(connection: sqlite3.Connection, keys: Sequence[str]) -> Sequence[str]:
    strange = [
        key
        for key in dict.fromkeys(keys)
        if connection.execute(UNKNOWN, {"key": key}).fetchone()[0]
    ]
    connection.executemany(DISCARD, [{"key": key} for key in strange])
    return strange


def blobs_page(connection: sqlite3.Connection, after: str, limit: int) -> Sequence[Blob]:
    return [Blob(*row) for row in connection.execute(BLOBS, (after, limit))]


def lead(connection: sqlite3.Connection, owner: str, now_s: float, life_s: float) -> bool:
    taken = connection.execute(
        "INSERT INTO lead (one, owner, ends_at) VALUES (1, :owner, :ends) ON CONFLICT (one)"
        " DO UPDATE SET owner = :owner, ends_at = :ends WHERE owner = :owner OR ends_at <= :now",
        {"owner": owner, "ends": now_s + life_s, "now": now_s},
    )
    return taken.rowcount == 1


def totals(connection: sqlite3.Connection) -> Totals:
    files, logical_bytes = connection.execute(
        "SELECT ifnull(sum(files), 0), ifnull(sum(files * logical_bytes), 0) FROM"
        " (SELECT blob, count(*) AS files FROM files GROUP BY blob) JOIN blobs ON id = blob"
    ).fetchone()
    blobs, stored_bytes, orphans = connection.execute(
        "SELECT count(*), ifnull(sum(stored_bytes), 0), count(orphaned_at) FROM blobs"
    ).fetchone()
    (pending,) = connection.execute(
        "SELECT count(*) FROM garbage WHERE deleted_at IS NULL"
    ).fetchone()
    return Totals(files, blobs, logical_bytes, stored_bytes, orphans, pending)


def faults(connection: sqlite3.Connection) -> Sequence[str]:
    """What is wrong in the file, at most some of it: nothing, as a rule."""
    try:
        checked = connection.execute(f"PRAGMA integrity_check({MOST_COMPLAINTS})").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        checked = [(str(error),)]  # so badly that it cannot even be checked
    if checked != [("ok",)]:
        return [f"the file is damaged: {text}" for (text,) in checked]
    counts = [(connection.execute(query).fetchone()[0], what) for what, query in FAULTS.items()]
    return [f"{count} {what}" for count, what in counts if count]


def mend(connection: sqlite3.Connection, now_s: float) -> int:
    """Have the marks of blobs and garbage say what the files say; how many did not."""
    return sum(connection.execute(mend, {"now": now_s}).rowcount for mend in MENDS)


def touch(connection: sqlite3.Connection) -> None:
    """Write something that leaves nothing: no key is empty."""
    connection.execute("INSERT INTO garbage (key) VALUES ('')")
    connection.execute("DELETE FROM garbage WHERE key = ''")
