"""Whether a SQLite database has changed: told by each process, whoever has changed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_changes import Changes
from parparchik.dedup.sqlite_connection import Database
from parparchik.errors import MetadataUnavailable
from tests.dedup.metadata_scene import KEYS, LIFE, NOW, claim, delete, put


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "files.db")


async def test_every_change_is_told_and_nothing_else(database: Database) -> None:
    metadata = await SqliteMetadata.open(database, KEYS)
    states = [metadata.state()]

    def has_changed() -> bool:
        states.append(metadata.state())
        return states[-1] != states[-2]

    assert states[0] is not None
    await put(metadata, "a", 1, "content")
    assert has_changed()
    await metadata.get("a")
    await metadata.totals()
    assert not has_changed()
    await put(metadata, "a", 2, "other")
    assert has_changed()
    await delete(metadata, "a", 3)
    assert has_changed()
    assert not has_changed()
    await metadata.close()


async def test_what_another_has_changed_is_told(database: Database) -> None:
    ours = await SqliteMetadata.open(database, KEYS)
    theirs = await SqliteMetadata.open(database, KEYS)
    for number in range(20):
        before = ours.state()
        await put(theirs, f"file-{number}", 1, "content")
        assert ours.state() != before
    await ours.close()
    await theirs.close()


async def test_what_another_process_has_changed_is_told(database: Database) -> None:
    metadata = await SqliteMetadata.open(database, KEYS)
    before = metadata.state()
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        " c.execute('INSERT INTO tombstones (path, version_s) VALUES (?, 1)', ('x',)); c.commit()"
    )
    argv = [sys.executable, "-c", code, str(database.file)]
    await trio.to_thread.run_sync(lambda: subprocess.run(argv, check=True))
    assert metadata.state() != before
    await metadata.close()


async def test_it_never_waits_for_who_writes(database: Database) -> None:
    """A change that is under way is none yet."""
    metadata = await SqliteMetadata.open(database, KEYS)
    before = metadata.state()
    writer = database.writer()
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("INSERT INTO tombstones (path, version_s) VALUES ('x', 1)")
    assert metadata.state() == before
    writer.execute("COMMIT")
    assert metadata.state() != before
    writer.close()
    await metadata.close()


async def test_a_checkpoint_does_not_hide_a_change(database: Database) -> None:
    metadata = await SqliteMetadata.open(database, KEYS)
    before = metadata.state()
    await put(metadata, "a", 1, "content")
    other = database.writer()
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert metadata.state() != before
    await metadata.close()


async def test_what_is_closed_or_cannot_be_read_tells_nothing(database: Database) -> None:
    await trio.to_thread.run_sync(database.create)
    changes = Changes(database)
    assert changes.state() is None
    changes.open()
    assert changes.state() is not None
    changes.close()
    changes.close()
    assert changes.state() is None
    with pytest.raises(MetadataUnavailable):
        Changes(Database(database.file.with_name("missing.db"))).open()


async def test_a_claim_is_a_change_too(database: Database) -> None:
    """More is told than must be: never less."""
    metadata = await SqliteMetadata.open(database, KEYS)
    before = metadata.state()
    held = await claim(metadata, "content")
    assert metadata.state() != before
    before = metadata.state()
    assert await metadata.renew(held, now_s=NOW, life_s=LIFE)
    await metadata.release(held)
    assert metadata.state() != before
    await metadata.close()
