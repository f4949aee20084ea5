"""What no change of ours leaves behind, as SQL: how it is found, and how the references mend it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from types import MappingProxyType

from parparchik.dedup import faults as names
from parparchik.dedup.faults import Fault, faults_of

MOST_COMPLAINTS = 100

# What is in use and would be deleted at S3 by the next pass.
_NEEDED = """FROM garbage WHERE deleted_at IS NULL
    AND (key IN (SELECT key FROM blobs) OR key IN (SELECT key FROM claims))"""
# `0` comes right after `/`: between the two lies what is below a folder.
_COUNTS = MappingProxyType(
    {
        names.UNKNOWN_BLOB: "SELECT count(*) FROM files"
        " WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = files.blob)",
        names.BELOW_A_FILE: "SELECT ifnull(sum((SELECT count(*) FROM files"
        " WHERE path > above.path || '/' AND path < above.path || '0')), 0) FROM files AS above",
        names.ORPHANS_WITH_FILES: "SELECT count(*) FROM blobs"
        " WHERE orphaned_at IS NOT NULL AND EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
        names.UNMARKED_ORPHANS: "SELECT count(*) FROM blobs"
        " WHERE orphaned_at IS NULL AND NOT EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
        names.NEEDED_GARBAGE: f"SELECT count(*) {_NEEDED}",
    }
)
_MENDS = (
    "UPDATE blobs SET orphaned_at = NULL"
    " WHERE orphaned_at IS NOT NULL AND EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    "UPDATE blobs SET orphaned_at = :now"
    " WHERE orphaned_at IS NULL AND NOT EXISTS (SELECT 1 FROM files WHERE blob = blobs.id)",
    f"DELETE {_NEEDED}",
)


def faults(connection: sqlite3.Connection) -> Sequence[Fault]:
    """Of a file that is damaged, nothing but that is told: what else it says is not to be relied
    on."""
    try:
        checked = connection.execute(f"PRAGMA integrity_check({MOST_COMPLAINTS})").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        checked = [(str(error),)]  # so badly that it cannot even be checked
    if checked != [("ok",)]:
        return faults_of([(names.DAMAGED, len(checked))], detail=checked[0][0])
    return faults_of(
        (what, connection.execute(query).fetchone()[0]) for what, query in _COUNTS.items()
    )


def mend(connection: sqlite3.Connection, now_s: float) -> int:
    """Have the marks of blobs and garbage say what the files say; how many did not."""
    return sum(connection.execute(mend, {"now": now_s}).rowcount for mend in _MENDS)
