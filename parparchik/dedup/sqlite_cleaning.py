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
MARK_LOST = """UPDATE blobs SET lost_at = ?
    WHERE digest = ? AND key = ? AND lost_at IS NULL"""
RESTATE = """UPDATE blobs SET stored_bytes = ?
    WHERE digest = ? AND key = ? AND stored_bytes <> ?"""
MARK_SOUND = """UPDATE blobs SET lost_at = NULL
    WHERE digest = ? AND key = ? AND lost_at IS NOT NULL"""


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


def mark_lost(connection: sqlite3.Connection, blob: Blob, now_s: float) -> bool:
    return connection.execute(MARK_LOST, (now_s, blob.digest, blob.key)).rowcount == 1


def restate(connection: sqlite3.Connection, blob: Blob, stored_bytes: int) -> bool:
    values = (stored_bytes, blob.digest, blob.key, stored_bytes)
    return connection.execute(RESTATE, values).rowcount == 1


def mark_sound(connection: sqlite3.Connection, blob: Blob) -> bool:
    return connection.execute(MARK_SOUND, (blob.digest, blob.key)).rowcount == 1


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
    blobs, stored_bytes, orphans, lost = connection.execute(
        "SELECT count(*), ifnull(sum(stored_bytes), 0), count(orphaned_at), count(lost_at)"
        " FROM blobs"
    ).fetchone()
    (pending,) = connection.execute(
        "SELECT count(*) FROM garbage WHERE deleted_at IS NULL"
    ).fetchone()
    return Totals(files, blobs, logical_bytes, stored_bytes, orphans, pending, lost)


def touch(connection: sqlite3.Connection) -> None:
    """Write something that leaves nothing: no key is empty."""
    connection.execute("INSERT INTO garbage (key) VALUES ('')")
    connection.execute("DELETE FROM garbage WHERE key = ''")
