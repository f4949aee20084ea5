"""Scenarios that look into the server's process, or start it more than once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from bench.load import Ask, Cycle, Expected, Target
from bench.local import (
    Settings,
    StartFailed,
    free_port,
    make_certificate,
    start_parparchik,
    start_stand_in,
)
from bench.report import Figure, Result, Run
from bench.scenarios.requests import HOT_KEYS, hot, replaced
from bench.scenarios.stage import BUCKET, Options, Stage, measure, result_of, stage
from bench.stand_in import BucketSpec

MIB = 1 << 20
MEMORY_REQUESTS = 10_000_000
MEMORY_FIRST = 100_000
MEMORY_GROWTH_MIB = 5.0
WORKERS_RATIO = 1.4
HALF_RATE_P99_MS = 1.0

_MANAGEMENT_ENTRIES = 1000
_MANAGEMENT_CONNECTIONS = 8
_MANAGEMENT = ("/status", "/healthcheck", "/readiness", "/metrics", "/list")
_HOT = (BucketSpec(BUCKET, HOT_KEYS),)
_START_UP_ENTRIES = 100_000


async def management(options: Options) -> Result:
    runs = []
    few = replace(options, connections=options.connections or _MANAGEMENT_CONNECTIONS)
    async with stage(few, [BucketSpec(BUCKET, _MANAGEMENT_ENTRIES)]) as place:
        for path in options.paths or _MANAGEMENT:
            deck = Cycle((Ask(path, Expected(200)),))
            plan = few.plan(place.target, deck, duration_s=3.0)
            runs.append((await measure(path, few, place, plan))[0])
    return result_of(
        "management", options, runs, notes=[f"/list has {_MANAGEMENT_ENTRIES:,} entries"]
    )


async def paced(options: Options) -> Result:
    """The highest rate first, then half of it in an open loop."""
    async with stage(options, _HOT) as place:
        deck = replaced(options) or hot(place)
        most = replace(options.plan(place.target, deck, duration_s=5.0), rate_per_s=None)
        fastest, _ = await measure("as fast as it can", options, place, most)
        if not fastest.requests:
            raise StartFailed("nothing was answered as expected: there is no half of that")
        rate = options.rate_per_s or fastest.requests_per_s / 2
        half = replace(options.plan(place.target, deck, duration_s=10.0), rate_per_s=rate)
        ours = replace(options, wrk=False)
        run, outcome = await measure("at half of that", ours, place, half)
    p99_ms = outcome.latency.percentile(99) / 1e6
    figure = Figure("p99 at half the rate", p99_ms, "ms", HALF_RATE_P99_MS)
    return result_of("redirect-paced", options, [fastest, run], [figure])


async def memory(options: Options) -> Result:
    options.local_only("memory")
    total = options.requests or MEMORY_REQUESTS
    first = min(MEMORY_FIRST, total // 2)
    runs, resident = [], []
    async with stage(options, _HOT) as place:
        server, deck = place.server, hot(place)
        assert server is not None
        for count in (first, total - first):
            counted = replace(options, requests=count, duration_s=3000.0, wrk=False)
            plan = counted.plan(place.target, deck)
            runs.append((await measure(f"{count:,} requests", counted, place, plan))[0])
            resident.append(server.resident_bytes() / MIB)
    figures = [
        Figure(f"resident after {first:,}", resident[0], "MiB"),
        Figure(f"resident after {total:,}", resident[1], "MiB"),
        Figure("growth", resident[1] - resident[0], "MiB", MEMORY_GROWTH_MIB),
    ]
    return result_of("memory", options, runs, figures)


async def workers(options: Options) -> Result:
    """Two workers against one; nobody is pinned, for there are no processors to be left over.

    A redirect costs the load about what it costs the server, so that on two processors nearly all
    that a second worker could add is the load's already: `at most` says what is left. Over TLS the
    server has by far the most to do: there the workers show what two of them are worth.
    """
    options.local_only("workers")
    free = replace(options, processors=type(options.processors)())
    runs: list[Run] = []
    load_us = {False: 0.0, True: 0.0}
    for count, name in ((1, "one worker"), (2, "two workers")):
        async with _with_tls(free, (("PARPARCHIK_WORKERS", str(count)),)) as (place, encrypted):
            for target in (place.target, encrypted):
                plan = free.plan(target, hot(place), duration_s=8.0)
                called = f"{name}, TLS" if target.tls else name
                run, outcome = await measure(called, free, place, plan)
                runs.append(run)
                if count == 1 and outcome.requests:
                    load_us[target.tls] = outcome.cpu_s / outcome.requests * 1e6
    plain, over_tls = ((runs[0], runs[2]), (runs[1], runs[3]))
    figures = [
        Figure("two workers against one", _ratio(*plain), "", WORKERS_RATIO, at_least=True),
        Figure("  at most", _at_most(plain[0], load_us[False]), ""),
        Figure("two workers against one, TLS", _ratio(*over_tls), ""),
        Figure("  at most", _at_most(over_tls[0], load_us[True]), ""),
    ]
    note = "at most: what two workers could reach of one's rate, were nothing lost"
    return result_of("workers", free, runs, figures, [note])


def _ratio(one: Run, two: Run) -> float:
    return two.requests_per_s / one.requests_per_s if one.requests else 0.0


def _at_most(one: Run, load_us: float) -> float:
    """Of s microseconds for the server and l for the load, on as many processors as there are:
    n s / (s + l), and never more than 2. 0 where it is not known."""
    server_us = (one.server_cpu_s_per_1000 or 0.0) * 1000
    if not server_us:
        return 0.0
    return min(2.0, len(os.sched_getaffinity(0)) * server_us / (server_us + load_us))


@asynccontextmanager
async def _with_tls(
    options: Options, settings: tuple[tuple[str, str], ...] = (), *, http2: bool = False
) -> AsyncIterator[tuple[Stage, Target]]:
    """A server of ours, and where it speaks TLS."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = await make_certificate(Path(folder))
        port = free_port()
        tls = (
            ("PARPARCHIK_TLS_CERTIFICATE", str(certificate)),
            ("PARPARCHIK_TLS_KEY", str(key)),
            ("PARPARCHIK_TLS_PORT", str(port)),
        )
        async with stage(options, _HOT, settings=(*tls, *settings)) as place:
            yield place, Target("127.0.0.1", port, tls=True, http2=http2, trusted=certificate)


@asynccontextmanager
async def _encrypted(options: Options, *, http2: bool) -> AsyncIterator[Stage]:
    if options.target is not None:
        yield Stage(replace(options.target, http2=http2))
        return
    async with _with_tls(options, http2=http2) as (place, target):
        yield replace(place, target=target)


async def tls(options: Options) -> Result:
    return await _over_tls("tls", options, http2=False)


async def http2(options: Options) -> Result:
    return await _over_tls("http2", options, http2=True)


async def _over_tls(name: str, options: Options, *, http2: bool) -> Result:
    async with _encrypted(options, http2=http2) as place:
        deck = replaced(options) or hot(place)
        run, _ = await measure(name, options, place, options.plan(place.target, deck))
    return result_of(name, options, [run])


@dataclass(frozen=True, slots=True)
class _StartUp:
    name: str
    manifest: bool
    may_list: bool


_START_UPS = (
    _StartUp("no manifests, by listing", manifest=False, may_list=True),
    _StartUp("manifests, verified by listing", manifest=True, may_list=True),
    _StartUp("manifests, verified by HEADs", manifest=True, may_list=False),
)


async def start_up(options: Options) -> Result:
    """From starting the process to /readiness."""
    options.local_only("start-up")
    entries = options.entries or _START_UP_ENTRIES
    half = entries // 2
    figures = []
    for way in _START_UPS:
        specs = [
            BucketSpec(name, half, first=first, manifest=way.manifest, may_list=way.may_list)
            for name, first in ((f"{BUCKET}-public", 0), (BUCKET, half))
        ]
        cpus = options.processors
        async with start_stand_in(specs, cpus.load) as (port, _):
            settings = Settings(
                f"{BUCKET}-public::public,{BUCKET}", f"127.0.0.1:{port}", more=options.settings
            )
            begun_s = trio.current_time()
            async with start_parparchik(settings, cpus.server) as server:
                ready_s = trio.current_time() - begun_s
                figures += [
                    Figure(way.name, ready_s, "s"),
                    Figure("  processor time", server.cpu_s(), "s"),
                    Figure("  resident", server.resident_bytes() / MIB, "MiB"),
                ]
    note = f"{half * 2:,} objects over two buckets, from the start of the process to /readiness"
    return result_of("start-up", options, figures=figures, notes=[note])
