"""What is in one commit with a change that raises when it has written: all of it is made again, and
what is made is made once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_writer import Writer
from parparchik.errors import MetadataUnavailable
from tests.dedup.test_sqlite_writer import Add, AddAndFail, Hold, stored


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "m.db", lock_wait_s=5.0)
    database.create()
    return database


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    writer = Writer(database)
    yield writer
    await writer.close()


class FailAndAdd(Add):
    """Raises before it writes anything: nothing has to be undone."""

    def __call__(self, connection: sqlite3.Connection) -> str:
        raise ValueError(self.path)


class Count:
    """A change that is not the same when it is made twice."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.made = 0

    def __call__(self, connection: sqlite3.Connection) -> int:
        self.made += 1
        row = connection.execute(
            "INSERT INTO tombstones VALUES (?, 1) ON CONFLICT (path)"
            " DO UPDATE SET version_s = version_s + 1 RETURNING version_s",
            (self.path,),
        ).fetchone()
        return int(row[0])


async def outcomes_of(
    writer: Writer, changes: Sequence[Callable[[sqlite3.Connection], object]]
) -> list[object]:
    """What came of each, all in one commit: an exception, or what it returned."""
    found: list[object] = [None] * len(changes)

    async def do(at: int) -> None:
        try:
            found[at] = await writer.do(changes[at])
        except (ValueError, sqlite3.Error, MetadataUnavailable) as error:
            found[at] = type(error)

    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, hold)
        await hold.begun.wait()
        commits = writer.commits
        for at in range(len(changes)):
            nursery.start_soon(do, at)
            await trio.testing.wait_all_tasks_blocked()
        hold.go_on.set()
    assert writer.commits - commits <= 2  # that of `hold`, and theirs
    return found


@pytest.mark.parametrize("at", range(6))
async def test_of_what_is_made_again_each_is_made_once(
    writer: Writer, database: Database, at: int
) -> None:
    """Wherever among them the one is that raises when it has written."""
    counts = [Count("one") for _ in range(5)]
    changes: list[Callable[[sqlite3.Connection], object]] = [*counts]
    changes.insert(at, AddAndFail("never"))
    found = await outcomes_of(writer, changes)
    assert found.pop(at) is ValueError
    assert found == [1, 2, 3, 4, 5]
    assert stored(database) == {"one"}
    assert await writer.do(Count("one")) == 6
    assert all(count.made <= 2 for count in counts)


async def test_who_raises_before_it_writes_costs_the_others_nothing(
    writer: Writer, database: Database
) -> None:
    counts = [Count("one"), Count("one")]
    found = await outcomes_of(writer, [counts[0], FailAndAdd("never"), counts[1]])
    assert found == [1, ValueError, 2]
    assert [count.made for count in counts] == [1, 1]
    assert stored(database) == {"one"}


async def test_several_statements_of_one_are_all_undone(writer: Writer, database: Database) -> None:
    await writer.do(Add("there"))

    def half(connection: sqlite3.Connection) -> None:
        rows = [("x", 1), ("there", 1), ("y", 1)]
        connection.executemany("INSERT INTO tombstones VALUES (?, ?)", rows)

    def less(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM tombstones WHERE path = 'there'")
        raise ValueError

    found = await outcomes_of(writer, [Add("a"), half, Count("b"), less, Count("b")])
    assert found == ["a", sqlite3.IntegrityError, 1, ValueError, 2]
    assert stored(database) == {"there", "a", "b"}


class Rival:
    """A connection, and another process that takes the lock right after a ROLLBACK, and gives it up
    when it was asked for twice in vain; or never."""

    def __init__(self, connection: sqlite3.Connection, file: Path, *, gives_up: bool) -> None:
        self._connection = connection
        self._rival = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._gives_up = gives_up
        self._refused = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE" and self._rival.in_transaction:
            self._refused += 1
            if self._refused > 2 and self._gives_up:
                self._rival.execute("COMMIT")
        cursor = self._connection.execute(sql, *values)
        if sql == "ROLLBACK":
            self._rival.execute("BEGIN IMMEDIATE")
            self._rival.execute("INSERT INTO tombstones VALUES ('between', 1)")
        return cursor

    def close(self) -> None:
        self._rival.close()
        self._connection.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@dataclass(frozen=True, slots=True)
class RivalDatabase(Database):
    gives_up: bool = True

    def writer(self) -> sqlite3.Connection:
        connection: Any = Rival(Database.writer(self), self.file, gives_up=self.gives_up)
        return connection  # type: ignore[no-any-return]


async def test_the_second_time_another_process_has_the_lock_for_a_while(tmp_path: Path) -> None:
    """All is made anew, on what the other one has left."""
    database = RivalDatabase(tmp_path / "m.db")
    database.create()
    writer = Writer(database)
    assert await writer.do(Count("one")) == 1
    found = await outcomes_of(writer, [Count("one"), AddAndFail("never"), Count("between")])
    assert found == [2, ValueError, 2]
    assert stored(database) == {"one", "between"}
    await writer.close()


async def test_the_second_time_another_process_has_the_lock_for_too_long(tmp_path: Path) -> None:
    """None of them is made, and all are told so, be it that they could have been the first time."""
    database = RivalDatabase(tmp_path / "m.db", lock_wait_s=0.2, gives_up=False)
    database.create()
    writer = Writer(database)
    assert await writer.do(Count("one")) == 1
    found = await outcomes_of(writer, [Count("one"), AddAndFail("never"), Add("a")])
    assert found == [MetadataUnavailable] * 3
    assert stored(database) == {"one"}
    assert await writer.do(Count("one")) == 2
    await writer.close()
