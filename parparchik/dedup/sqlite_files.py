"""What clients do to files, as SQL: each function is one change or one read, in a transaction of
the caller's.

A change looks at everything first and writes last.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from typing import cast

from parparchik.dedup.keys import REST_S, Keys
from parparchik.dedup.sqlite_seen import IS_TAKEN, Seen, see
from parparchik.dedup.types import Blob, Claim, File, Sight, Tombstone, Written
from parparchik.errors import ClaimLost

GET = """SELECT path, version_s, digest, key, logical_bytes, stored_bytes
    FROM files JOIN blobs ON blobs.id = files.blob WHERE path = ?"""
# CROSS JOIN has SQLite walk the files in their order, and look up each one's blob.
LIST = """SELECT path, version_s, digest, key, logical_bytes, stored_bytes
    FROM files CROSS JOIN blobs ON blobs.id = files.blob
    WHERE path > ? AND path < ? AND version_s <= ? ORDER BY path LIMIT ?"""
FIND_BLOB = """SELECT digest, key, logical_bytes, stored_bytes FROM blobs
    WHERE digest = ? AND lost_at IS NULL"""
ADD_BLOB = "INSERT INTO blobs (digest, key, logical_bytes, stored_bytes) VALUES (?, ?, ?, ?)"
RESCUE = "UPDATE blobs SET orphaned_at = NULL WHERE id = ?"
HEAL = """UPDATE blobs SET key = ?, logical_bytes = ?, stored_bytes = ?, lost_at = NULL,
    orphaned_at = NULL WHERE id = ?"""
PUT = """INSERT INTO files (path, version_s, blob) VALUES (?, ?, ?) ON CONFLICT (path)
    DO UPDATE SET version_s = excluded.version_s, blob = excluded.blob"""
BURY = """INSERT INTO tombstones (path, version_s) VALUES (?, ?) ON CONFLICT (path)
    DO UPDATE SET version_s = excluded.version_s WHERE version_s < excluded.version_s"""
# One that nobody uses is garbage, even where it was deleted before.
DISCARD = """INSERT INTO garbage (key)
    SELECT :key WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE key = :key)
        AND NOT EXISTS (SELECT 1 FROM claims WHERE key = :key)
    ON CONFLICT (key) DO UPDATE SET deleted_at = NULL"""


def get(connection: sqlite3.Connection, path: str) -> File | None:
    row = connection.execute(GET, (path,)).fetchone()
    return None if row is None else _file(row)


def list_page(
    connection: sqlite3.Connection, folder: str, after: str, until_s: int, limit: int
) -> Sequence[File]:
    """The next files below `folder` whose paths come after `after` ('': the first ones)."""
    low, high = _below(folder)
    rows = connection.execute(LIST, (after or low, high, until_s, limit))
    return [_file(row) for row in rows]


def has_below(connection: sqlite3.Connection, folder: str) -> bool:
    query = "SELECT 1 FROM files WHERE path > ? AND path < ? LIMIT 1"
    return connection.execute(query, _below(folder)).fetchone() is not None


def tombstone(connection: sqlite3.Connection, path: str) -> int | None:
    row = connection.execute(
        "SELECT version_s FROM tombstones WHERE path = :path"
        " AND NOT EXISTS (SELECT 1 FROM files WHERE path = :path)",
        {"path": path},
    ).fetchone()
    return None if row is None else row[0]


def bury(connection: sqlite3.Connection, path: str, version_s: int) -> bool:
    return connection.execute(BURY, (path, version_s)).rowcount == 1


def tombstones_page(connection: sqlite3.Connection, after: str, limit: int) -> Sequence[Tombstone]:
    """In the order of their paths, of which none is empty."""
    query = "SELECT path, version_s FROM tombstones WHERE path > ? ORDER BY path LIMIT ?"
    return [Tombstone(*row) for row in connection.execute(query, (after, limit))]


def look(connection: sqlite3.Connection, keys: Keys, path: str, digest: str, now_s: float) -> Sight:
    """Raises PathConflict."""
    plain = keys.plain(digest)
    seen = see(connection, path, digest, plain, now_s)
    seen.check_place()
    blob, key = seen.blob, plain
    if blob is not None:
        key = blob.key
    elif seen.is_used or seen.is_waste:
        key = _free_key(connection, keys, digest, now_s)
    return Sight(seen.version_s, blob, key)


def claim(
    connection: sqlite3.Connection, keys: Keys, digest: str, now_s: float, life_s: float
) -> Claim:
    row = connection.execute(FIND_BLOB, (digest,)).fetchone()
    blob = None if row is None else Blob(*row)
    key = blob.key if blob else _free_key(connection, keys, digest, now_s)
    token = secrets.token_hex(16)
    connection.execute(
        "INSERT INTO claims (token, digest, key, ends_at) VALUES (?, ?, ?, ?)",
        (token, digest, key, now_s + life_s),
    )
    return Claim(token, digest, key, blob)


def renew(connection: sqlite3.Connection, claim: Claim, now_s: float, life_s: float) -> bool:
    renewed = connection.execute(
        "UPDATE claims SET ends_at = ? WHERE digest = ? AND token = ? AND ends_at > ?",
        (now_s + life_s, claim.digest, claim.token, now_s),
    )
    return renewed.rowcount == 1


def end_claim(connection: sqlite3.Connection, digest: str, token: str) -> None:
    of_claim = (digest, token)
    query = "SELECT key FROM claims WHERE digest = ? AND token = ?"
    row = connection.execute(query, of_claim).fetchone()
    if row is not None:
        connection.execute("DELETE FROM claims WHERE digest = ? AND token = ?", of_claim)
        connection.execute(DISCARD, {"key": row[0]})


def put(
    connection: sqlite3.Connection,
    file: File,
    token: str | None,
    now_s: float,
    imported: bool,
) -> Written:
    """Raises ClaimLost, PathConflict."""
    path, version_s, blob = file
    seen = see(connection, path, blob.digest, blob.key, now_s)
    if token is not None:
        _need_claim(connection, blob, token, now_s)
    elif seen.is_waste:
        raise ClaimLost("what was stored was taken for garbage meanwhile; try again")
    seen.check_place()
    kept_key = ""
    written = Written(seen.version_s, done=False)
    if _is_due(connection, path, version_s, seen.version_s, imported):
        number, kept_key = _keep(connection, blob, seen)
        connection.execute(PUT, (path, version_s, number))
        if seen.old_number is not None:
            _dropped(connection, seen.old_number, now_s)
        written = Written(version_s, done=True)
    if token is not None:
        end_claim(connection, blob.digest, token)
    elif kept_key != blob.key:
        connection.execute(DISCARD, {"key": blob.key})
    return written


def delete(
    connection: sqlite3.Connection, path: str, version_s: int, with_tombstone: bool, now_s: float
) -> Written:
    old = _version_and_blob(connection, path)
    if old is not None and old[0] > version_s:
        return Written(old[0], done=False)
    if with_tombstone:
        bury(connection, path, version_s)
    if old is None:
        return Written(None, done=False)
    connection.execute("DELETE FROM files WHERE path = ?", (path,))
    _dropped(connection, old[1], now_s)
    return Written(None, done=True)


# -- what they share ----------------------------------------------------------------------------


def _file(row: tuple[str, int, str, str, int, int]) -> File:
    return File(row[0], row[1], Blob(*row[2:]))


def _below(folder: str) -> tuple[str, str | bytes]:
    """Between which paths those below it lie. `0` comes right after `/`, and every BLOB after all
    TEXT."""
    return (f"{folder}/", f"{folder}0") if folder else ("", b"")


def _version_and_blob(connection: sqlite3.Connection, path: str) -> tuple[int, int] | None:
    query = "SELECT version_s, blob FROM files WHERE path = ?"
    row: tuple[int, int] | None = connection.execute(query, (path,)).fetchone()
    return row


def _is_due(
    connection: sqlite3.Connection,
    path: str,
    version_s: int,
    there_s: int | None,
    imported: bool,
) -> bool:
    """Whether it takes effect where the file that is there, if any, is of `there_s`."""
    if not imported:
        return there_s is None or there_s <= version_s
    query = "SELECT version_s FROM tombstones WHERE path = ?"
    dead = connection.execute(query, (path,)).fetchone()
    return (there_s is None or there_s < version_s) and (dead is None or dead[0] < version_s)


def _free_key(connection: sqlite3.Connection, keys: Keys, digest: str, now_s: float) -> str:
    key = keys.plain(digest)
    while connection.execute(IS_TAKEN, {"key": key, "rested": now_s - REST_S}).fetchone()[0]:
        key = keys.another(digest)
    return key


def _need_claim(connection: sqlite3.Connection, blob: Blob, token: str, now_s: float) -> None:
    """Raises ClaimLost."""
    held = connection.execute(
        "SELECT key FROM claims WHERE digest = ? AND token = ? AND ends_at > ?",
        (blob.digest, token, now_s),
    ).fetchone()
    if held != (blob.key,):
        raise ClaimLost("storing took longer than its claim on the content held; try again")


def _keep(connection: sqlite3.Connection, blob: Blob, seen: Seen) -> tuple[int, str]:
    """Number and key of the blob that has the content of `blob`, which is added where there is
    none. Raises ClaimLost where it is not at S3, as had been believed."""
    if seen.number is None or seen.key is None:
        return cast("int", connection.execute(ADD_BLOB, blob).lastrowid), blob.key
    if seen.lost_at is not None:  # it is stored again
        if seen.key == blob.key:
            raise ClaimLost("what S3 had of the content was lost meanwhile; try again")
        connection.execute(HEAL, (*blob[1:], seen.number))
        connection.execute(DISCARD, {"key": seen.key})
        return seen.number, blob.key
    if seen.orphaned_at is not None:
        connection.execute(RESCUE, (seen.number,))
    return seen.number, seen.key


def _dropped(connection: sqlite3.Connection, blob: int, now_s: float) -> None:
    """A file has let go of `blob`: without another one it is an orphan."""
    connection.execute(
        "UPDATE blobs SET orphaned_at = :now WHERE id = :blob"
        " AND NOT EXISTS (SELECT 1 FROM files WHERE blob = :blob)",
        {"now": now_s, "blob": blob},
    )
