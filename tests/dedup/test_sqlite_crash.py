"""kill -9 while several processes change one database: what was acknowledged is there, what was not
has happened whole or not at all, and nothing that is left behind is in anybody's way."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from parparchik.dedup.keys import Keys
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from tests.dedup.sqlite_filler import LIFE, NOW, digest_of

ROOT = Path(__file__).parents[2]
ROUNDS = 4
PROCESSES = 2
LINES = 200  # what each says before it is killed
State = tuple[int, str] | None  # version and digest

Said = dict[str, tuple[State, list[State]]]  # by path: acknowledged last, and begun since then


def fill_and_kill(file: Path, number: int) -> list[str]:
    """What the processes said until they were killed."""
    command = [sys.executable, "-m", "tests.dedup.sqlite_filler", str(file)]
    started = [
        subprocess.Popen([*command, f"{number}-{each}"], cwd=ROOT, stdout=subprocess.PIPE)
        for each in range(PROCESSES)
    ]
    said: list[str] = []
    try:
        for process in started:
            assert process.stdout is not None
            said += [process.stdout.readline().decode() for _ in range(LINES)]
            assert process.poll() is None
    finally:
        for process in started:
            process.kill()
    for process in started:
        assert process.stdout is not None
        said += process.stdout.read().decode().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
    assert said.count("ready\n") == PROCESSES
    return [line for line in said if line.endswith("\n") and line != "ready\n"]


def understood(lines: list[str]) -> Said:
    acknowledged: dict[str, State] = defaultdict(lambda: None)
    begun: dict[str, list[State]] = defaultdict(list)
    for line in lines:
        what, path, version, content = line.split()
        meant = None if content == "-" else (int(version), digest_of(int(content)))
        if what == "begin":
            begun[path] = [meant]  # what was begun before on this path has ended
        else:
            begun[path] = []
        if what == "done":
            acknowledged[path] = meant
    return {path: (acknowledged[path], begun[path]) for path in begun}


async def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    file = tmp_path / "m.db"
    everything: Said = {}
    for number in range(ROUNDS):
        everything |= understood(fill_and_kill(file, number))
        store = await SqliteMetadata.open(Database(file), Keys())
        assert await store.integrity() == []
        there = {
            found.path: (found.version_s, found.blob.digest)
            async for page in store.list("", until_s=2**62)
            for found in page
        }
        for path, (acknowledged, begun) in everything.items():
            assert there.get(path) in (acknowledged, *begun)
        assert set(there) <= set(everything)

        # What the dead ones claimed is nobody's as soon as its time is over.
        later = NOW + LIFE
        while await store.discard_orphans(older_than_s=later, now_s=later, limit=100):
            pass
        totals = await store.totals()
        assert totals.orphans == 0
        assert totals.blobs == len({digest for _, digest in there.values()})
        used = {blob.key async for page in store.blobs() for blob in page}
        garbage = await store.garbage(limit=10_000)
        assert not used & set(garbage)
        await store.collected(garbage, now_s=NOW)
        assert await store.unknown(sorted(used)) == []
        assert await store.integrity() == []
        await store.close()
