"""Scenarios without a server: parts of parparchik in a process of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bench import probe as probing
from bench import registry as registering
from bench.local import start_rclone, start_stand_in
from bench.report import Figure, Result
from bench.scenarios.stage import Options, result_of
from bench.stand_in import BucketSpec

_UNITS = {"_s": "s", "_ms": "ms", "_us": "us", "_bytes": "bytes"}


async def registry(options: Options) -> Result:
    figures = await registering.measure(options.entries or 1_000_000)
    shown = [
        Figure(name, value, _unit(name), registering.GOALS.get(name))
        for name, value in figures.items()
    ]
    return _without_server("registry", options, shown, ["a store in memory; nothing is pinned"])


async def probe(options: Options) -> Result:
    count, at_once = options.requests or 60_000, options.connections or 64
    start_s3 = start_rclone if options.s3 == "rclone" else start_stand_in
    async with start_s3([BucketSpec(probing.NAME)], options.processors.load) as (port, _):
        with _on(options.processors.server):  # what is measured is this process
            results = await probing.run(f"http://127.0.0.1:{port}", count=count, at_once=at_once)
    figures = []
    for number, one in enumerate(results):
        name = f"{one.name}, {one.at_once} at once"
        goal = probing.GOAL_PER_S if number == 0 else None
        figures += [
            Figure(name, one.per_s, "HEADs/s", goal, at_least=True),
            Figure("  processor time for each", one.cpu_us, "us"),
            Figure("  p99", one.p99_ms, "ms"),
        ]
    notes = [options.processors.describe().replace("server", "this process"), "S3: " + options.s3]
    return _without_server("probe", options, figures, notes)


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def _without_server(name: str, options: Options, figures: list[Figure], notes: list[str]) -> Result:
    result = result_of(name, options, figures=figures)
    return msgspec.structs.replace(result, target="parts of parparchik in one process", notes=notes)


@contextmanager
def _on(processors: tuple[int, ...]) -> Iterator[None]:
    """This process on these processors; empty: wherever it is."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
