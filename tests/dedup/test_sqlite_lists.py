"""A long list costs no more memory than a short one, and is never sorted."""

from __future__ import annotations

import tracemalloc
from contextlib import aclosing
from pathlib import Path

from parparchik.dedup import sqlite_cleaning, sqlite_files, sqlite_seen
from parparchik.dedup.sqlite import PAGE, SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from tests.dedup.metadata_scene import KEYS, digest

FILES = 100_000
MOST_BYTES = 4 * 2**20


async def test_a_list_of_a_hundred_thousand(tmp_path: Path) -> None:
    database = Database(tmp_path / "m.db")
    store = await SqliteMetadata.open(database, KEYS)
    fill(database)
    tracemalloc.start()
    pages = listed = 0
    last = ""
    async with aclosing(store.list("d", until_s=FILES)) as found:  # type: ignore[type-var]
        async for page in found:
            pages += 1
            listed += len(page)
            assert last < page[0].path
            last = page[-1].path
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (pages, listed) == (FILES // PAGE, FILES)
    assert peak_bytes < MOST_BYTES
    # A cut-off that leaves next to nothing is no list of everything.
    few = [file async for page in store.list("d", until_s=9) for file in page]
    assert len(few) == 10
    totals = await store.totals()
    assert (totals.files, totals.logical_bytes) == (FILES, 10 * FILES)
    await store.close()


def fill(database: Database) -> None:
    connection = database.writer()
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO blobs VALUES (?, ?, ?, 10, 30, NULL, NULL)",
        ((number, digest(f"{number}"), f"{number}") for number in range(FILES // 10)),
    )
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?)",
        ((f"d/{number % 100:02}/{number:06}", number, number // 10) for number in range(FILES)),
    )
    connection.execute("COMMIT")
    connection.close()


def test_what_is_asked_often_is_found_by_an_index(tmp_path: Path) -> None:
    database = Database(tmp_path / "m.db")
    database.create()
    connection = database.reader()
    for query in (
        *(sqlite_files.GET, sqlite_files.LIST, sqlite_files.FIND_BLOB, sqlite_seen.IS_TAKEN),
        *(sqlite_cleaning.ORPHANS, sqlite_cleaning.UNKNOWN, sqlite_cleaning.BLOBS),
    ):
        parameters = {"key": "", "rested": 0.0} if ":key" in query else [None] * query.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters).fetchall()
        steps = [step for *_, step in plan]
        assert not [step for step in steps if "TEMP B-TREE" in step], query
        # SCAN CONSTANT ROW is what a query without a table says.
        assert not [step for step in steps if step.startswith("SCAN") and "ROW" not in step], query
    connection.close()
