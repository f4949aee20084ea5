"""A process that saves, reads and forgets as fast as it can, until it is killed.

    python -m tests.cache.disk_filler DIRECTORY ROUND

Prints `ready`, and `KEY VERSION` when that version of the object, and all before, are forgotten for
good.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

import structlog
import trio

from parparchik.cache.disk import DiskStore
from tests.cache.disks import NOW_S, SLICE, content, load, name, piece, record

KEYS = [f"key-{number}" for number in range(12)]
PIECES = 3
SIZE = PIECES * SLICE - 1000
BUDGET = 20 * SLICE


def data_of(key: str, version: int, index: int) -> bytes:
    length = min(SLICE, SIZE - index * SLICE)
    return content(f"{key}:{version}:{index}", length)


def tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


async def work(disk: DiskStore, key: str, first: int) -> None:
    dice = random.Random(f"{key} {first}")
    for version in itertools.count(first):
        known = record(SIZE, f"{version}", confirmed_at_s=NOW_S - 1e9 + version)
        async with trio.open_nursery() as nursery:
            for index in range(PIECES):
                data = data_of(key, version, index)
                nursery.start_soon(disk.save, piece(key, index), known, [data])
            if dice.random() < 0.3:
                await trio.sleep(dice.random() / 1000)
                disk.forget(name(key))  # some of it on its way
        if dice.random() < 0.5:
            index = dice.randrange(PIECES)
            got = await load(disk, piece(key, index), known)
            if got not in (None, data_of(key, version, index)):
                tell(f"wrong {key} {version} {index}")
        if dice.random() < 0.5:
            disk.forget(name(key))
            if await disk.settle():
                tell(f"{key} {version}")


async def main(directory: Path, number: int) -> None:
    disk = DiskStore(directory, BUDGET, now=lambda: NOW_S)
    async with trio.open_nursery() as nursery:
        await nursery.start(disk.run)
        tell("ready")
        for key in KEYS:
            nursery.start_soon(work, disk, key, number * 1_000_000)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
