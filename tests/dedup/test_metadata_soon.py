"""What every Metadata is asked without a task: what cannot begin says so, and what is begun is told
once, with what the same comes to in a task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from outcome import Error, Outcome, Value

from parparchik.dedup.opening import OpenedMetadata
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import Blob, Metadata, Sight, Written
from parparchik.errors import BadTarget, ClaimLost, MetadataUnavailable, PathConflict
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_scene import (
    KEYS,
    NOW,
    digest,
    listed,
    look,
    put,
    put_small,
    stored_at,
    told,
)

PLAIN = KEYS.plain(digest("x"))
BLOB = Blob(digest("x"), PLAIN, 1, 21)


def never(_: object) -> None:
    raise AssertionError


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "metadata.db", lock_wait_s=0.2)


@pytest.fixture
async def sqlite(database: Database) -> AsyncIterator[SqliteMetadata]:
    store = await SqliteMetadata.open(database, KEYS)
    yield store
    await store.close()


async def test_one_that_has_to_wait_for_another_host_does_not_begin(metadata: Metadata) -> None:
    begins = not isinstance(metadata, RedisMetadata)
    came = await told(partial(metadata.look_soon, "a", digest("x"), now_s=NOW))
    assert came == (Value(Sight(None, None, PLAIN)) if begins else None)
    came = await told(partial(metadata.put_soon, "a", 7, BLOB, now_s=NOW))
    assert came == (Value(Written(7, done=True)) if begins else None)
    assert (await metadata.get("a") is not None) is begins


@pytest.mark.parametrize("path", ["a\0b", "a/\ud800"])
async def test_what_is_no_text_comes_to_nothing(metadata: Metadata, path: str) -> None:
    """It raises at once, or is told."""
    for begin in (
        partial(metadata.look_soon, path, digest("x"), now_s=NOW),
        partial(metadata.put_soon, path, 1, BLOB, now_s=NOW),
    ):
        try:
            came = await told(begin)
        except BadTarget:
            continue
        assert came is None or (isinstance(came, Error) and isinstance(came.error, BadTarget))
    assert (await metadata.totals()).files == 0


@pytest.mark.parametrize("metadata", ["fake", "sqlite"], indirect=True)
async def test_what_is_asked_at_once_is_each_told_its_own(metadata: Metadata) -> None:
    await put(metadata, "a/b", 5, "there")
    waste = stored_at(await look(metadata, "w", "waste"), "waste")
    await metadata.unknown([waste.key])
    came: dict[str, Outcome[Any]] = {}
    all_told = trio.Event()

    def then(name: str, outcome: Outcome[Any]) -> None:
        assert name not in came
        came[name] = outcome
        if len(came) == 6:
            all_told.set()

    def begin(name: str, ask: Callable[..., bool]) -> None:
        assert ask(now_s=NOW, then=partial(then, name))

    begin("seen", partial(metadata.look_soon, "a/b", digest("y")))
    begin("no place", partial(metadata.look_soon, "a", digest("y")))
    begin("older", partial(metadata.put_soon, "a/b", 4, Blob(digest("there"), "", 5, 25)))
    begin("conflict", partial(metadata.put_soon, "a/b/c", 4, BLOB))
    begin("waste", partial(metadata.put_soon, "w", 4, waste))
    begin("put", partial(metadata.put_soon, "c", 4, BLOB))
    assert came == {}, "never before it returns"
    with trio.fail_after(10):
        await all_told.wait()
    assert came.pop("seen") == Value(Sight(5, None, KEYS.plain(digest("y"))))
    assert came.pop("older") == Value(Written(5, done=False))
    assert came.pop("put") == Value(Written(4, done=True))
    errors = {name: type(o.error) for name, o in came.items() if isinstance(o, Error)}
    assert errors == {"no place": PathConflict, "conflict": PathConflict, "waste": ClaimLost}
    assert await listed(metadata) == ["a/b", "c"]
    assert await metadata.integrity() == []


async def test_a_fake_that_is_broken_says_so_in_the_end() -> None:
    metadata = FakeMetadata(KEYS)
    metadata.broken = True
    came = await told(partial(metadata.look_soon, "a", digest("x"), now_s=NOW))
    assert isinstance(came, Error)
    assert isinstance(came.error, MetadataUnavailable)


# -- SQLite ---------------------------------------------------------------------------------------


async def test_what_the_database_cannot_do_is_told(
    sqlite: SqliteMetadata, database: Database
) -> None:
    other = database.writer()
    other.execute("BEGIN IMMEDIATE")
    try:
        for begin in (
            partial(sqlite.look_soon, "a", digest("x"), now_s=NOW),
            partial(sqlite.put_soon, "a", 7, BLOB, now_s=NOW),
        ):
            came = await told(begin)
            assert isinstance(came, Error)
            assert isinstance(came.error, MetadataUnavailable)
    finally:
        other.close()
    assert (await put_small(sqlite, "a")) == BLOB


async def test_what_was_begun_is_done_before_it_is_closed(database: Database) -> None:
    store = await SqliteMetadata.open(database, KEYS)
    came: list[Outcome[Written]] = []
    for number in range(3):
        assert store.put_soon(f"{number}", 7, BLOB, now_s=NOW, then=came.append)
    await store.close()
    assert came == [Value(Written(7, done=True))] * 3
    assert not store.look_soon("a", digest("x"), now_s=NOW, then=never)
    assert not store.put_soon("a", 7, BLOB, now_s=NOW, then=never)
    await trio.testing.wait_all_tasks_blocked()
    store = await SqliteMetadata.open(database, KEYS)
    assert (await store.totals()).files == 3
    await store.close()


# -- of the settings ------------------------------------------------------------------------------


async def test_what_is_not_open_does_not_begin(tmp_path: Path) -> None:
    metadata = OpenedMetadata(f"sqlite:///{tmp_path}/files.db", KEYS)
    for _ in range(2):
        assert not metadata.look_soon("a", digest("x"), now_s=NOW, then=never)
        assert not metadata.put_soon("a", 7, BLOB, now_s=NOW, then=never)
        async with trio.open_nursery() as nursery:
            await nursery.start(metadata.run)
            nursery.cancel_scope.cancel()
    assert metadata.asked == {}, "nothing was asked"


async def test_what_is_asked_counts_as_in_a_task(tmp_path: Path) -> None:
    """A conflict is an answer: what the database cannot do alone is an error."""
    metadata = OpenedMetadata(f"sqlite:///{tmp_path}/files.db", KEYS)
    async with trio.open_nursery() as nursery:
        await nursery.start(metadata.run)
        came = await told(partial(metadata.look_soon, "a", digest("x"), now_s=NOW))
        assert came == Value(Sight(None, None, PLAIN))
        came = await told(partial(metadata.put_soon, "a", 7, BLOB, now_s=NOW))
        assert came == Value(Written(7, done=True))
        for begin in (
            partial(metadata.look_soon, "a/b", digest("y"), now_s=NOW),
            partial(metadata.put_soon, "a/b", 7, BLOB, now_s=NOW),
        ):
            came = await told(begin)
            assert isinstance(came, Error)
            assert isinstance(came.error, PathConflict)
        asked = metadata.asked
        assert {name: (of.count, of.errors) for name, of in asked.items()} == {
            "look": (2, 0), "put": (2, 0),
        }  # fmt: skip
        await metadata.look("a", digest("x"), now_s=NOW)
        assert (asked["look"].count, asked["look"].errors) == (3, 0)
        nursery.cancel_scope.cancel()


async def test_what_the_database_cannot_do_counts_as_an_error(tmp_path: Path) -> None:
    metadata = OpenedMetadata(f"sqlite:///{tmp_path}/files.db", KEYS)
    async with trio.open_nursery() as nursery:
        await nursery.start(metadata.run)
        for table in ("files", "blobs"):
            await break_table(tmp_path / "files.db", table)
        for begin in (
            partial(metadata.look_soon, "a", digest("x"), now_s=NOW),
            partial(metadata.put_soon, "a", 7, BLOB, now_s=NOW),
        ):
            came = await told(begin)
            assert isinstance(came, Error)
            assert isinstance(came.error, MetadataUnavailable)
        assert {name: (of.count, of.errors) for name, of in metadata.asked.items()} == {
            "look": (1, 1), "put": (1, 1),
        }  # fmt: skip
        nursery.cancel_scope.cancel()


async def break_table(file: Path, table: str) -> None:
    connection = Database(file).writer()
    connection.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    connection.close()
