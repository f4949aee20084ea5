"""Short reads go to a thread together, and none is another's trouble."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from parparchik.dedup.gathering import Ticket
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_readers import LANES, MOST_AT_ONCE, Readers
from parparchik.dedup.sqlite_writer import Writer
from parparchik.errors import MetadataUnavailable


class Counting(Readers):
    __slots__ = ("batches",)

    def __init__(self, database: Database) -> None:
        self.batches: list[int] = []
        super().__init__(database, 4)

    def _read_all(self, batch: Sequence[Ticket]) -> None:
        self.batches.append(len(batch))
        super()._read_all(batch)


class Hold:
    """A read that takes as long as the test wants."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.go_on = threading.Event()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self, connection: sqlite3.Connection) -> str:
        self._token.run_sync_soon(self.begun.set)
        assert self.go_on.wait(10)
        return "held"


def one(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT 1").fetchone()
    assert isinstance(found, int)
    return found


def nonsense(connection: sqlite3.Connection) -> int:
    connection.execute("SELECT nothing FROM nowhere")
    return 0


def wrong(connection: sqlite3.Connection) -> int:
    raise ValueError("wrong")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "m.db")
    database.create()
    return database


@pytest.fixture
async def readers(database: Database) -> AsyncIterator[Counting]:
    readers = Counting(database)
    yield readers
    await readers.close()


async def held(readers: Readers, nursery: trio.Nursery) -> list[Hold]:
    """All lanes are busy."""
    holds = [Hold() for _ in range(LANES)]
    for hold in holds:
        nursery.start_soon(readers.ask, hold)
        await hold.begun.wait()
    return holds


async def test_what_gathers_is_read_together(readers: Counting) -> None:
    found: list[int] = []

    async def ask() -> None:
        found.append(await readers.ask(one))

    async with trio.open_nursery() as nursery:
        holds = await held(readers, nursery)
        for _ in range(LANES * MOST_AT_ONCE + 1):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        for hold in holds:
            hold.go_on.set()
    assert found == [1] * (LANES * MOST_AT_ONCE + 1)
    assert sorted(readers.batches) == [1] * LANES + [1] + [MOST_AT_ONCE] * LANES


async def test_one_that_fails_fails_alone(readers: Counting) -> None:
    came: list[str] = []

    async def ask(read) -> None:  # type: ignore[no-untyped-def]
        try:
            came.append(str(await readers.ask(read)))
        except (MetadataUnavailable, ValueError) as error:
            came.append(type(error).__name__)

    async with trio.open_nursery() as nursery:
        holds = await held(readers, nursery)
        for read in (one, nonsense, wrong, one, one, wrong):
            nursery.start_soon(ask, read)
        await trio.testing.wait_all_tasks_blocked()
        for hold in holds:
            hold.go_on.set()
    assert sorted(came) == sorted(
        ["1", "MetadataUnavailable", "ValueError", "1", "1", "ValueError"]
    )
    assert await readers.ask(one) == 1


async def test_who_leaves_leaves_the_others(readers: Counting) -> None:
    found: list[int] = []

    async def ask() -> None:
        found.append(await readers.ask(one))

    async with trio.open_nursery() as nursery:
        holds = await held(readers, nursery)
        async with trio.open_nursery() as leaving:
            for _ in range(3 * LANES):  # among them those who would lead
                leaving.start_soon(readers.ask, one)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
        for hold in holds:
            hold.go_on.set()
    assert found == [1] * 5


async def test_what_was_acknowledged_before_is_seen(database: Database, readers: Counting) -> None:
    writer = Writer(database)

    async def client(number: int) -> None:
        for turn in range(10):
            path = f"{number}-{turn}"

            def add(connection: sqlite3.Connection, path: str = path) -> None:
                connection.execute("INSERT INTO tombstones VALUES (?, 1)", (path,))

            def look(connection: sqlite3.Connection, path: str = path) -> bool:
                query = "SELECT 1 FROM tombstones WHERE path = ?"
                return connection.execute(query, (path,)).fetchone() is not None

            await writer.do(add)
            assert await readers.ask(look)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(client, number)
    await writer.close()


async def test_long_reads_are_nobodys_trouble(readers: Counting) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readers.do, hold)
        await hold.begun.wait()
        assert await readers.ask(one) == 1
        assert await readers.do(one) == 1
        hold.go_on.set()


async def test_closed_is_closed(database: Database) -> None:
    readers = Readers(database, 1)
    assert await readers.ask(one) == 1
    await readers.close()
    for ask in (readers.ask, readers.do):
        with pytest.raises(MetadataUnavailable, match="closed"):
            await ask(one)
