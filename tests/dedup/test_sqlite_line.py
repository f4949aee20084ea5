"""Who comes first has SQLite's lock first, also among processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from parparchik.dedup import sqlite_files
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_line import Line
from parparchik.dedup.sqlite_writer import Writer

ROOT = Path(__file__).parents[2]


class Other:
    """Another process that may stand in the line."""

    def __init__(self, database: Database) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.dedup.line_child", str(database.file)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def do(self, word: str) -> str:
        self.begin(word)
        return self.end()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "m.db", lock_wait_s=30.0)
    database.create()
    return database


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    line = Line(database.file, patience_s=0.0)
    yield line
    line.close()


@pytest.fixture
def started(database: Database) -> Iterator[Callable[[], Other]]:
    others: list[Other] = []

    def start() -> Other:
        others.append(Other(database))
        return others[-1]

    yield start
    for other in others:
        other.kill()


def test_who_is_alone_is_first(line: Line) -> None:
    assert line.is_first()
    line.stand()
    assert line.is_first()
    line.leave()
    line.leave()
    assert line.is_first()


def test_who_came_before_is_first(line: Line, started: Callable[[], Other]) -> None:
    one, two = started(), started()
    assert one.do("stand") == "done"
    assert one.do("first") == "True"
    assert not line.is_first()
    line.stand()
    assert two.do("stand") == "done"
    assert [line.is_first(), two.do("first"), one.do("first")] == [False, "False", "True"]
    one.do("leave")
    assert [line.is_first(), two.do("first"), one.do("first")] == [True, "False", "False"]
    one.do("stand")
    line.leave()
    assert [line.is_first(), two.do("first"), one.do("first")] == [False, "True", "False"]


def test_who_has_only_just_come_is_in_nobodys_way(
    database: Database, line: Line, started: Callable[[], Other]
) -> None:
    other = started()
    patient = Line(database.file, patience_s=3600.0)
    other.do("stand")
    assert patient.is_first()
    assert not line.is_first()
    patient.stand()
    assert patient.is_first()
    patient.close()


def test_the_dead_stand_in_nobodys_way(line: Line, started: Callable[[], Other]) -> None:
    other = started()
    other.do("stand")
    assert not line.is_first()
    other.kill()
    assert line.is_first()


def test_where_there_can_be_no_line_all_go_as_they_come(
    database: Database, started: Callable[[], Other]
) -> None:
    Path(f"{database.file}-line").mkdir()
    other, line = started(), Line(database.file)
    assert other.do("stand") == "done"
    line.stand()
    assert line.is_first()
    assert other.do("first") == "True"
    line.leave()
    line.close()


def test_it_is_for_those_that_may_write_the_database(database: Database) -> None:
    database.file.chmod(0o660)
    Line(database.file).close()
    assert Path(f"{database.file}-line").stat().st_mode & 0o777 == 0o660
    assert Path(f"{database.file}-line").stat().st_size == 0


async def test_a_writer_waits_for_those_before_it(
    database: Database, started: Callable[[], Other]
) -> None:
    other, line = started(), Line(database.file)
    writer = Writer(database)
    seen: list[bool] = []

    def look(connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT 1 FROM tombstones WHERE path = 'theirs'").fetchone()
        seen.append(row is not None)

    with closing(sqlite3.connect(database.file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        other.begin("write theirs")
        with trio.fail_after(20):
            while line.is_first():  # noqa: ASYNC110 - another process
                await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.do, look)
            await trio.testing.wait_all_tasks_blocked()
            holder.execute("ROLLBACK")
    line.close()
    assert seen == [True]
    assert other.end() == "done"
    await writer.close()


async def test_who_was_stopped_in_the_line_is_not_waited_for_for_ever(
    tmp_path: Path, started: Callable[[], Other]
) -> None:
    other = started()
    other.do("stand")
    writer = Writer(Database(tmp_path / "m.db", lock_wait_s=0.2))
    assert await writer.do(partial(sqlite_files.bury, path="a", version_s=1))
    await writer.close()
