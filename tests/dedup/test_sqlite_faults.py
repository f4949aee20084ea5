"""A database that cannot do what it should: the operator reads what to do, clients read 503."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parparchik.dedup.faults import DAMAGED
from parparchik.dedup.keys import Keys
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_schema import APPLICATION_ID, MIGRATIONS, NEWEST
from parparchik.errors import ConfigError, MetadataUnavailable
from tests.dedup.metadata_scene import KEYS, NOW, claim, delete, digest, listed, put


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "m.db", lock_wait_s=0.2)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqliteMetadata]:
    store = await SqliteMetadata.open(database, KEYS)
    yield store
    await store.close()


async def opened(database: Database) -> None:
    await (await SqliteMetadata.open(database, KEYS)).close()


def raw(database: Database) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(database.file, isolation_level=None))


# -- opening --------------------------------------------------------------------------------------


async def test_it_is_there_when_it_is_opened_again(database: Database) -> None:
    store = await SqliteMetadata.open(database, KEYS)
    await put(store, "a", 1, "x")
    await store.close()
    again = await SqliteMetadata.open(database, KEYS)
    assert await listed(again) == ["a"]
    await again.close()


async def test_one_of_the_first_version_is_brought_up_to_date(database: Database) -> None:
    with raw(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO blobs VALUES (1, ?, 'store/key', 1, 21, NULL)", (digest("x"),)
        )
        connection.execute("INSERT INTO files VALUES ('a', 1, 1)")
    store = await SqliteMetadata.open(database, KEYS)
    file = await store.get("a")
    assert file is not None
    assert (await claim(store, "x")).blob == file.blob
    assert await store.mark_lost(file.blob, now_s=NOW)
    assert await store.integrity() == []
    await store.close()


async def test_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    await opened(database)
    with raw(database) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    with pytest.raises(ConfigError, match=f"version {NEWEST + 1}, written by a newer parparchik"):
        await opened(database)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE t (a)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"]
)
async def test_another_programs_database_is_left_as_it_is(
    database: Database, statement: str
) -> None:
    with raw(database) as connection:
        connection.execute(statement)
    before = database.file.read_bytes()
    with pytest.raises(ConfigError, match="of another program"):
        await opened(database)
    assert database.file.read_bytes() == before


async def test_junk_is_no_database(database: Database) -> None:
    database.file.write_bytes(b"this is not SQLite" * 1000)
    with pytest.raises(MetadataUnavailable, match="is no SQLite database"):
        await opened(database)


async def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing does not exist"):
        await opened(Database(tmp_path / "missing" / "m.db"))


def test_how_durable_it_is_has_names() -> None:
    with pytest.raises(ConfigError, match="synchronous"):
        Database(Path("m.db"), synchronous="off")


def test_the_depth_of_keys_is_bounded() -> None:
    with pytest.raises(ConfigError, match="key_depth"):
        Keys(depth=9)


async def test_many_open_a_new_one_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path / "m.db")
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(opened, database)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened, database)


async def test_names_with_odd_characters(tmp_path: Path) -> None:
    for name in ("a?mode=ro", "a%41#b", "ä b", "x:y"):
        await opened(Database(tmp_path / name))
        assert (tmp_path / name).is_file()


# -- at work --------------------------------------------------------------------------------------


async def test_a_lock_that_is_held_too_long(store: SqliteMetadata, database: Database) -> None:
    await put(store, "a", 1, "x")
    with raw(database) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MetadataUnavailable, match="locked by another process") as caught:
            await put(store, "b", 1, "y")
        assert await listed(store) == ["a"]  # who reads does not wait
        with pytest.raises(MetadataUnavailable):
            await store.check()
        other.execute("ROLLBACK")
    assert "m.db" in str(caught.value)
    assert "m.db" not in caught.value.client_message
    assert caught.value.status == 503
    await put(store, "b", 1, "y")
    await store.check()


async def test_a_lock_that_is_let_go_is_waited_for(tmp_path: Path) -> None:
    database = Database(tmp_path / "m.db", lock_wait_s=30.0)
    store = await SqliteMetadata.open(database, KEYS)
    with raw(database) as other:
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, store, "a", 1, "x")
            await trio.testing.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
    assert await listed(store) == ["a"]
    await store.close()


class Failing(Database):
    """A database whose writer is made unable to write, for as long as `because` is set."""

    because = ""

    def writer(self) -> sqlite3.Connection:
        connection = super().writer()
        if Failing.because:
            connection.execute(Failing.because)
        return connection


@pytest.mark.parametrize(
    ("because", "message"),
    [
        ("PRAGMA query_only = ON", "may not be written: see that"),
        ("PRAGMA max_page_count = 1", "the disk is full: make room"),
    ],
)
async def test_a_disk_that_takes_nothing(
    tmp_path: Path, because: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Failing(tmp_path / "m.db")
    monkeypatch.setattr(Failing, "because", because)
    store = await SqliteMetadata.open(database, KEYS)
    failures: list[str] = []

    async def fail(number: int) -> None:
        try:
            # Long enough to need pages of its own.
            await delete(store, f"{number}" * 3000, 1, tombstone=True)
        except MetadataUnavailable as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(fail, number)
    assert all(message in failure for failure in failures)
    assert len(failures) == 10
    assert await listed(store) == []  # reading goes on
    monkeypatch.setattr(Failing, "because", "")
    await put(store, "a", 1, "x")
    assert await store.tombstone("1" * 3000) is None
    await store.close()


async def test_damage_is_told(store: SqliteMetadata, database: Database) -> None:
    for number in range(300):
        await delete(store, f"{number:03}" * 100, 1, tombstone=True)
        await put(store, f"{number:03}", 1, "x")
    assert await store.integrity() == []
    await store.close()
    with raw(database) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'tombstones'"
        ).fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    with database.file.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xa5" * page_size)
    damaged = await SqliteMetadata.open(database, KEYS)
    with pytest.raises(MetadataUnavailable, match="is damaged: stop parparchik"):
        await damaged.tombstone("x")
    with pytest.raises(MetadataUnavailable, match="is damaged"):
        await delete(damaged, "x", 1, tombstone=True)
    (fault,) = await damaged.integrity()
    assert (fault.what, fault.mendable) == (DAMAGED, False)
    assert fault.count > 0
    assert fault.detail
    assert len(await listed(damaged)) == 300  # what is whole is served
    await damaged.close()


async def test_a_file_that_is_taken_away_is_noticed_and_not_replaced(
    store: SqliteMetadata, database: Database
) -> None:
    database.file.rename(database.file.with_name("kept.db"))
    with pytest.raises(MetadataUnavailable, match="No such file"):
        await store.check()
    assert not database.file.exists()
    database.file.write_bytes(b"")
    with pytest.raises(MetadataUnavailable, match="replaced by another file"):
        await store.check()
    database.file.unlink()


async def test_a_database_that_was_lost_is_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Failing(tmp_path / "m.db")
    monkeypatch.setattr(Failing, "because", "PRAGMA query_only = ON")
    store = await SqliteMetadata.open(database, KEYS)
    with pytest.raises(MetadataUnavailable):
        await claim(store, "x")  # it will have to connect again
    for name in os.listdir(tmp_path):
        os.rename(tmp_path / name, tmp_path / f"{name}.kept")
    monkeypatch.setattr(Failing, "because", "")
    with pytest.raises(MetadataUnavailable, match="cannot be opened"):
        await claim(store, "x")
    assert not database.file.exists()
    await store.close()


async def test_closed_is_unavailable(database: Database) -> None:
    store = await SqliteMetadata.open(database, KEYS)
    await store.close()
    with pytest.raises(MetadataUnavailable, match="closed"):
        await store.get("a")
    with pytest.raises(MetadataUnavailable, match="closed"):
        await claim(store, "x")
