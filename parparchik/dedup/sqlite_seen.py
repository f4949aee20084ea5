"""All that a PUT has to look at, in one query.

To ask SQLite costs about as much as to be answered, and each time the thread lets go of Python, for
which others wait, and has to wait for it in turn.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import NamedTuple

from parparchik.dedup.bounds import folders_above
from parparchik.dedup.keys import REST_S
from parparchik.dedup.types import Blob
from parparchik.errors import PathConflict

# A key that must not be given out is in use, or to be deleted, or was deleted since :rested. One
# that is in use again had its rest, whatever the clock says now.
_IS_USED = """(EXISTS (SELECT 1 FROM blobs WHERE key = :key)
        OR EXISTS (SELECT 1 FROM claims WHERE key = :key))"""
_IS_WASTE = """EXISTS (SELECT 1 FROM garbage WHERE key = :key AND (deleted_at IS NULL
        OR deleted_at > :rested AND NOT EXISTS (SELECT 1 FROM blobs WHERE key = :key)))"""
IS_TAKEN = f"SELECT {_IS_USED} OR {_IS_WASTE}"
_SEE = """SELECT
    (SELECT version_s FROM files WHERE path = :path),
    (SELECT blob FROM files WHERE path = :path),
    EXISTS (SELECT 1 FROM files WHERE path > :path || '/' AND path < :path || '0'),
    {above},
    {is_used},
    {is_waste},
    blobs.id, blobs.digest, blobs.key, logical_bytes, stored_bytes, orphaned_at, lost_at
    FROM (SELECT 1) LEFT JOIN blobs ON blobs.digest = :digest"""
_ABOVE = "EXISTS (SELECT 1 FROM files WHERE path IN ({folders}))"


class Seen(NamedTuple):
    """Of a path: the version and the blob of the file that is there, and whether there are files
    below it, or one with the name of a folder above. Of a key: whether a blob or a claim has it,
    and whether it is garbage, or was lately. Of a digest: the blob, or None throughout."""

    version_s: int | None
    old_number: int | None
    has_below: int
    has_above: int
    is_used: int
    is_waste: int
    number: int | None
    digest: str | None
    key: str | None
    logical_bytes: int | None
    stored_bytes: int | None
    orphaned_at: float | None
    lost_at: float | None

    @property
    def blob(self) -> Blob | None:
        """Where S3 has it."""
        if self.number is None or self.lost_at is not None:
            return None
        return Blob(*self[7:11])  # type: ignore[arg-type]  # of a blob that is there all are set

    def check_place(self) -> None:
        """Raises PathConflict where no new file may be."""
        if self.version_s is None and self.has_below:
            raise PathConflict("a folder has that name")
        if self.version_s is None and self.has_above:
            raise PathConflict("a file has the name of a folder above it")


def see(connection: sqlite3.Connection, path: str, digest: str, key: str, now_s: float) -> Seen:
    """`key` is where it is stored, or might be."""
    folders = folders_above(path)
    values = {"path": path, "digest": digest, "key": key, "rested": now_s - REST_S}
    values.update((f"above_{at}", folder) for at, folder in enumerate(folders))
    return Seen(*connection.execute(_query(len(folders)), values).fetchone())


@lru_cache(maxsize=64)
def _query(depth: int) -> str:
    names = ", ".join(f":above_{at}" for at in range(depth))
    above = _ABOVE.format(folders=names) if depth else "0"
    return _SEE.format(above=above, is_used=_IS_USED, is_waste=_IS_WASTE)
