"""One writer for a process: what gathers is one commit, and nobody's trouble is another's."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_writer import CHECKPOINT_AFTER, MOST_IN_ONE, Writer
from parparchik.errors import MetadataUnavailable


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


class Add:
    """A change: one more tombstone."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO tombstones VALUES (?, 1)", (self.path,))
        return self.path


class AddAndFail(Add):
    def __call__(self, connection: sqlite3.Connection) -> str:
        super().__call__(connection)
        raise ValueError(self.path)


class Hold:
    """A change that takes as long as the test wants. `at_end` happens just before Trio hears that
    it is over."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.go_on = threading.Event()
        self.at_end: Callable[[], object] = bool
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self._token.run_sync_soon(self.begun.set)
        assert self.go_on.wait(10)
        self._token.run_sync_soon(self.at_end)


def stored(database: Database) -> set[str]:
    connection = database.reader()
    rows = connection.execute("SELECT path FROM tombstones").fetchall()
    connection.close()
    return {path for (path,) in rows}


async def test_what_gathers_goes_into_one_commit(writer: Writer, database: Database) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, hold)
        await hold.begun.wait()
        for number in range(MOST_IN_ONE + 10):
            nursery.start_soon(writer.do, Add(f"{number}"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(writer) == MOST_IN_ONE + 10
        hold.go_on.set()
    assert writer.commits == 3
    assert writer.changes == MOST_IN_ONE + 11
    assert stored(database) == {f"{number}" for number in range(MOST_IN_ONE + 10)}


async def test_a_change_that_fails_is_undone_alone(writer: Writer, database: Database) -> None:
    said: dict[str, str] = {}

    async def do(change: Add) -> None:
        try:
            said[change.path] = await writer.do(change)
        except (ValueError, sqlite3.IntegrityError) as error:
            said[change.path] = type(error).__name__

    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, hold)
        await hold.begun.wait()
        for path in ("a", "b", "c"):
            nursery.start_soon(do, Add(path))
            nursery.start_soon(do, AddAndFail(f"{path}-fails"))
        await trio.testing.wait_all_tasks_blocked()
        hold.go_on.set()
    assert writer.commits == 2
    failed = {f"{path}-fails": "ValueError" for path in "abc"}
    assert said == {path: path for path in "abc"} | failed
    assert stored(database) == {"a", "b", "c"}
    await do(Add("a"))
    assert said["a"] == "IntegrityError"
    assert await writer.do(Add("d")) == "d"


async def test_cancelled_before_its_turn_nothing_has_happened(
    writer: Writer, database: Database
) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, hold)
        await hold.begun.wait()
        for number in range(6):
            nursery.start_soon(writer.do, Add(f"{number}"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await writer.do(Add("never"))
        async with trio.open_nursery() as impatient:
            for path in ("x", "y"):
                impatient.start_soon(writer.do, Add(path))
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        hold.go_on.set()
    assert stored(database) == {f"{number}" for number in range(6)}


async def test_whoever_is_called_to_lead_and_cancelled_hands_on(database: Database) -> None:
    writer = Writer(database)

    async def one_round(number: int) -> None:
        hold = Hold()
        impatient = trio.CancelScope()
        # It and the leader wake up together: whichever of them Trio has go first.
        hold.at_end = impatient.cancel

        async def wait_impatiently() -> None:
            with impatient:
                await writer.do(Add(f"{number} impatient"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.do, hold)
            await hold.begun.wait()
            nursery.start_soon(wait_impatiently)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(writer.do, Add(f"{number} patient"))
            await trio.testing.wait_all_tasks_blocked()
            hold.go_on.set()

    with trio.fail_after(20):
        for number in range(40):
            await one_round(number)
    assert {f"{number} patient" for number in range(40)} <= stored(database)
    await writer.close()


async def test_whoever_comes_and_goes_the_others_are_served(
    writer: Writer, database: Database
) -> None:
    dice = random.Random(5)
    done: set[str] = set()

    async def do(path: str, patience_s: float) -> None:
        await trio.sleep(dice.random() / 50)
        with trio.move_on_after(patience_s):
            done.add(await writer.do(Add(path)))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(400):
                patience_s = dice.choice((0.0, 0.0001, 0.001, 0.003, 0.01, 60))
                nursery.start_soon(do, f"{number}", patience_s)
    assert done <= stored(database)
    assert await writer.do(Add("last")) == "last"


async def test_what_waits_is_done_before_it_is_closed(database: Database) -> None:
    writer = Writer(database)
    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.do, hold)
        await hold.begun.wait()
        nursery.start_soon(writer.do, Add("a"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(writer.close)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(MetadataUnavailable, match="closed"):
            await writer.do(Add("late"))
        hold.go_on.set()
    assert stored(database) == {"a"}
    assert not (database.file.parent / "m.db-wal").exists()  # the last one out


MANY = CHECKPOINT_AFTER * 3 // 2


async def test_the_log_does_not_grow_for_ever(writer: Writer, database: Database) -> None:
    """Its size after many changes is that after some."""
    log = database.file.parent / "m.db-wal"

    async def add(first: int) -> int:
        async with trio.open_nursery() as nursery:
            for number in range(first, first + MANY):
                nursery.start_soon(writer.do, Add(f"{number:08}" * 100))
        return log.stat().st_size

    sizes = [await add(MANY * number) for number in range(3)]
    assert sizes[2] < 1.5 * sizes[0]
