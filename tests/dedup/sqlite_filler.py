"""A process that changes metadata as fast as it can and says what was acknowledged, until it is
killed: `python -m tests.dedup.sqlite_filler FILE NAME`.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import Blob
from parparchik.errors import ClaimLost

NOW = 1_700_000_000.0
LIFE = 60.0
TASKS = 8


def digest_of(content: int) -> str:
    return hashlib.sha256(f"{content}".encode()).hexdigest()


async def change(store: SqliteMetadata, name: str, task: int) -> None:
    """Its own files, on contents that all share; each change is announced and then confirmed."""
    dice = random.Random(f"{name} {task}")
    for version in range(10**9):
        path = f"{name}/{task}/{dice.randrange(5)}"
        content = dice.randrange(20)
        if dice.random() < 0.2:
            print("begin", path, version, "-", flush=True)
            await store.delete(path, version, tombstone=False, now_s=NOW)
            print("done", path, version, "-", flush=True)
            continue
        print("begin", path, version, content, flush=True)
        held = await store.claim(digest_of(content), now_s=NOW, life_s=LIFE)
        if dice.random() < 0.1:
            await store.release(held)
            continue
        blob = held.blob or Blob(held.digest, held.key, 1, 1)
        if dice.random() < 0.1:
            await store.discard_orphans(older_than_s=NOW + 1, now_s=NOW, limit=3)
        try:
            await store.put(path, version, blob, held, now_s=NOW)
        except ClaimLost:
            print("lost", path, version, content, flush=True)
            continue
        print("done", path, version, content, flush=True)


async def main(file: Path, name: str) -> None:
    store = await SqliteMetadata.open(Database(file), Keys())
    print("ready", flush=True)
    async with trio.open_nursery() as nursery:
        for task in range(TASKS):
            nursery.start_soon(change, store, name, task)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2])
