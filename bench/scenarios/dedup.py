"""Scenarios of the dedup store: files of 4 KiB, as filetracker's client sends them, and their list.

Metadata is SQLite with its defaults, every commit on disk, in a directory that is removed
afterwards; S3 keeps what it is given in memory.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import (
    Ask,
    Cycle,
    Deck,
    Expected,
    FilesPut,
    LoadFailed,
    Plan,
    SmallFile,
    fire,
)
from bench.report import Figure, Result
from bench.scenarios.requests import replaced
from bench.scenarios.stage import BUCKET, Options, Stage, measure, result_of, stage
from bench.stand_in import BucketSpec

MOUNT = "/ft"
READ_FILES = 300
LISTED_FILES = 100_000
LISTS = 4
"""At a time: each is a megabyte and a half."""

_FILES = f"{MOUNT}/files/bench"
_FILL_CONNECTIONS = 48
"""More at a time are fewer commits; beyond 64 the store refuses."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What has to be there beforehand: `count` files of `deck`; None: all that are listed."""

    deck: FilesPut
    count: int | None = None


def _put(first: int, _listed: int) -> Deck:
    return FilesPut(f"{_FILES}/new/{{n}}", first)


def _put_duplicate(first: int, _listed: int) -> Deck:
    return FilesPut(f"{_FILES}/same/{{n}}", first, content=0)


def _get(_first: int, _listed: int) -> Deck:
    files = (SmallFile.of(number).gzip for number in range(READ_FILES))
    return Cycle(
        tuple(
            Ask(f"{_FILES}/read/{number}", Expected(200, body=gzip))
            for number, gzip in enumerate(files)
        )
    )


def _list(_first: int, listed: int) -> Deck:
    size_bytes = sum(len(f"{number}\n") for number in range(listed))
    return Cycle((Ask(f"{MOUNT}/list/bench/listed", Expected(200, body_bytes=size_bytes)),))


@dataclass(frozen=True, slots=True)
class DedupScenario:
    """`deck` is given a number from which on no file has been PUT before, and how many files are
    listed: LISTED_FILES, or the options' `entries`."""

    name: str
    line: str
    deck: Callable[[int, int], Deck]
    filled: Filled | None = None
    bulk: bool = False
    connections: int | None = None

    async def run(self, options: Options) -> Result:
        given = replace(options, connections=options.connections or self.connections)
        listed = options.entries or LISTED_FILES
        with tempfile.TemporaryDirectory(prefix="parparchik-bench-") as directory:
            settings = (
                ("PARPARCHIK_DEDUP_BUCKET", BUCKET),
                ("PARPARCHIK_DEDUP_METADATA", f"sqlite:///{directory}/files.db"),
            )
            async with stage(given, [BucketSpec(BUCKET)], buckets="", settings=settings) as place:
                await self._fill(given, place, listed)
                deck = replaced(given, 200) or self.deck(time.time_ns(), listed)
                plan = replace(given.plan(place.target, deck), bulk=self.bulk)
                run, outcome = await measure(self.name, given, place, plan)
        figures = []
        if self.bulk and outcome.seconds:
            lines_per_s = outcome.requests * listed / outcome.seconds
            figures = [Figure("lines", lines_per_s, "/s")]
        notes = ["metadata: SQLite, each commit on disk; S3 keeps what is PUT in memory"]
        return result_of(self.name, options, [run], figures, notes)

    async def _fill(self, options: Options, place: Stage, listed: int) -> None:
        """Raises LoadFailed."""
        if self.filled is None or options.paths:
            return
        count = self.filled.count or listed
        outcome = await fire(
            Plan(
                place.target,
                self.filled.deck,
                connections=min(count, _FILL_CONNECTIONS),
                duration_s=None,
                requests=count,
                warm_up_s=0,
                timeout_s=options.timeout_s,
                processors=options.processors.load,
            )
        )
        if outcome.requests != count:
            errors = ", ".join(f"{kind}: {times}" for kind, times in outcome.errors.items())
            raise LoadFailed(f"{count - outcome.requests} files could not be PUT ({errors})")


DEDUP = (
    DedupScenario(
        "dedup-put",
        "PUT of files of 4 KiB, each a new one, into the dedup store",
        _put,
    ),
    DedupScenario(
        "dedup-put-duplicate",
        "the same file of 4 KiB over and over, to a new path each time: S3 is not asked",
        _put_duplicate,
    ),
    DedupScenario(
        "dedup-get",
        f"{READ_FILES} files of 4 KiB out of the dedup store, over and over",
        _get,
        Filled(FilesPut(f"{_FILES}/read/{{n}}"), READ_FILES),
    ),
    DedupScenario(
        "dedup-list",
        f"the list of {LISTED_FILES:,} files of the dedup store",
        _list,
        Filled(FilesPut(f"{_FILES}/listed/{{n}}", content=0)),
        bulk=True,
        connections=LISTS,
    ),
)
