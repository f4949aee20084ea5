"""Another process in the line for a database: does a word a line, and answers.

python -m tests.dedup.line_child DATABASE
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import structlog
import trio

from parparchik.dedup import sqlite_files
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.sqlite_line import Line
from parparchik.dedup.sqlite_writer import Writer


async def write(database: Path, path: str) -> None:
    writer = Writer(Database(database, lock_wait_s=30.0))
    await writer.do(partial(sqlite_files.bury, path=path, version_s=1))
    await writer.close()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = Path(sys.argv[1])
    line = Line(database, patience_s=0.0)
    for word in sys.stdin:
        match word.split():
            case ["stand"]:
                line.stand()
            case ["leave"]:
                line.leave()
            case ["first"]:
                print(line.is_first(), flush=True)
                continue
            case ["write", path]:
                trio.run(write, database, path)
        print("done", flush=True)


if __name__ == "__main__":
    main()
