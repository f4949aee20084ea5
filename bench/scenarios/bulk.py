"""Scenarios about bytes: the object gateway with its cache, from memory, from disk, and cold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import Counting, Cycle, Deck, Expected, Family, Outcome
from bench.report import Figure, Result
from bench.scenarios.requests import replaced
from bench.scenarios.stage import BUCKET, Options, measure, result_of, stage
from bench.stand_in import BucketSpec

MIB = 1 << 20
SMALL_BYTES = 1024
LARGE_BYTES = MIB
COLD_BYTES = 8 * MIB
PUT_BYTES = 32 * MIB  # in parts: larger than what goes to S3 in one
SMALL_KEYS = 200
LARGE_KEYS = 64
PUT_KEYS = 8
FEW = 8
"""Connections of those whose bodies are large: many under way at once would measure little more
than how they are shared out."""

_COLD_KEYS = 9_000_000
_MOUNT = f"/objects/{BUCKET}"
_ALLOWED = ("PARPARCHIK_OBJECTS_ALLOWED_BUCKETS", f"{BUCKET}:all")

_SMALL_ONES = ("PARPARCHIK_CACHE_MEMORY_OBJECT", "64KiB")
"""In memory: what is larger comes from disk."""


def _over_and_over(count: int, size_bytes: int) -> Deck:
    family = Family(f"{_MOUNT}/file-{{n:07}}", Expected(200, body_bytes=size_bytes))
    return Cycle(tuple(family.ask(number) for number in range(count)))


def _cold() -> Deck:
    expected = Expected(200, body_bytes=COLD_BYTES)
    return Counting(Family(f"{_MOUNT}/file-{{n:07}}", expected, count=_COLD_KEYS))


def _put() -> Deck:
    family = Family(f"{_MOUNT}/put-{{n}}", Expected(200), put_bytes=PUT_BYTES)
    return Cycle(tuple(family.ask(number) for number in range(PUT_KEYS)))


@dataclass(frozen=True, slots=True)
class BulkScenario:
    """`bulk`: bytes a second are what it is about, not requests. `on_disk`: with a cache on disk,
    in a directory that is removed afterwards."""

    name: str
    line: str
    deck: Callable[[], Deck]
    spec: BucketSpec
    bulk: bool = True
    on_disk: bool = False
    connections: int | None = None

    async def run(self, options: Options) -> Result:
        given = replace(options, connections=options.connections or self.connections)
        with tempfile.TemporaryDirectory(prefix="parparchik-bench-") as directory:
            disk = (("PARPARCHIK_CACHE_DIR", directory), _SMALL_ONES) if self.on_disk else ()
            async with stage(given, [self.spec], buckets="", settings=(_ALLOWED, *disk)) as place:
                deck = replaced(given, 200) or self.deck()
                plan = replace(given.plan(place.target, deck), bulk=self.bulk)
                run, outcome = await measure(self.name, given, place, plan)
        figures = _figures(outcome, run.server_cpu_s_per_1000) if self.bulk else []
        return result_of(self.name, options, [run], figures)


def _figures(outcome: Outcome, server_cpu_s_per_1000: float | None) -> list[Figure]:
    if not outcome.seconds:
        return []
    mebibytes = outcome.body_bytes / MIB
    figures = [Figure("bodies", mebibytes / outcome.seconds, "MiB/s")]
    if server_cpu_s_per_1000 is not None and mebibytes:
        cpu_us = server_cpu_s_per_1000 * outcome.requests * 1000 / mebibytes
        figures.append(Figure("server's processor time for a MiB", cpu_us, "us"))
    return figures


BULK = (
    BulkScenario(
        "cached-small",
        f"{SMALL_KEYS} objects of 1 KiB over and over, by the object gateway: from memory",
        lambda: _over_and_over(SMALL_KEYS, SMALL_BYTES),
        BucketSpec(BUCKET, SMALL_KEYS, object_bytes=SMALL_BYTES),
        bulk=False,
    ),
    BulkScenario(
        "cached-large",
        f"{LARGE_KEYS} objects of 1 MiB over and over: from the cache on disk",
        lambda: _over_and_over(LARGE_KEYS, LARGE_BYTES),
        BucketSpec(BUCKET, LARGE_KEYS, object_bytes=LARGE_BYTES),
        on_disk=True,
    ),
    BulkScenario(
        "cold-stream",
        "objects of 8 MiB, each for the first time: from S3, while they come",
        _cold,
        BucketSpec(BUCKET, _COLD_KEYS, object_bytes=COLD_BYTES),
        connections=FEW,
    ),
    BulkScenario(
        "put-stream",
        "PUT of objects of 32 MiB: to S3, in parts, while they come",
        _put,
        BucketSpec(BUCKET, sink=True),
        connections=FEW,
    ),
)
