"""The figures that are no race: one server, or none, and one question each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import trio

from bench.compare.figures import Latency, Memory, Probes
from bench.compare.rounds import plan
from bench.compare.stage import KEYS, Stage
from bench.load import Ask, Cycle, Expected, fire, fire_wrk
from bench.local import Running
from bench.processes import environment, module_argv

FIRST_REQUESTS = 100_000
TURN_S = 10.0
SETTLE_S = 1.0


async def latency(
    stage: Stage,
    port: int,
    *,
    rate_per_s: float,
    processors: Sequence[int],
    seconds: float,
) -> Latency:
    """An open loop, by our own generator, which looks at every Location besides."""
    asks = tuple(
        Ask(stage.path(key), Expected(302, f"{stage.s3_url}{stage.path(key)}")) for key in KEYS
    )
    load = replace(
        plan(port, stage, processors, seconds),
        deck=Cycle(asks),
        rate_per_s=rate_per_s,
        warm_up_s=1.0,
    )
    outcome = await fire(load)
    return Latency(
        rate_per_s=rate_per_s,
        requests=outcome.requests,
        errors=outcome.error_count,
        seconds=outcome.seconds,
        p50_ms=outcome.latency.percentile(50) / 1e6,
        p99_ms=outcome.latency.percentile(99) / 1e6,
        p999_ms=outcome.latency.percentile(99.9) / 1e6,
        max_ms=outcome.latency.max_ns / 1e6,
    )


async def memory(
    stage: Stage,
    port: int,
    server: Running,
    *,
    requests: int,
    most_s: float,
    processors: Sequence[int],
    say: Callable[[str], None],
) -> Memory:
    """Of a server that is fresh: after 100,000 requests, and after `requests`, or as many as
    `most_s` seconds allow."""
    load = plan(port, stage, processors, TURN_S)
    await fire(replace(load, requests=FIRST_REQUESTS, duration_s=None))
    await trio.sleep(SETTLE_S)
    first_bytes = server.resident_bytes()
    done = FIRST_REQUESTS
    end_s = trio.current_time() + most_s
    while done < requests and trio.current_time() < end_s:
        done += (await fire_wrk(load)).requests
        say(f"  {done:>12,} requests  {server.resident_bytes() / 2**20:.1f} MiB")
    await trio.sleep(SETTLE_S)
    return Memory(
        first_requests=FIRST_REQUESTS,
        first_bytes=first_bytes,
        last_requests=done,
        last_bytes=server.resident_bytes(),
    )


class _Probe(msgspec.Struct):
    name: str
    at_once: int
    requests: int
    per_s: float
    cpu_us: float
    p99_ms: float


class _ProbeFigures(msgspec.Struct):
    results: list[_Probe]


async def probes(*, count: int) -> Probes:
    """`bench.probe`, whose first result is ours at 64 at once."""
    with tempfile.TemporaryDirectory() as scratch:
        file = trio.Path(scratch, "probe.json")
        await trio.run_process(
            module_argv("bench.probe", "--count", str(count), "--json", str(file)),
            env=environment(),
            capture_stdout=True,
        )
        ours = msgspec.json.decode(await file.read_bytes(), type=_ProbeFigures).results[0]
    return Probes(
        at_once=ours.at_once,
        requests=ours.requests,
        per_s=ours.per_s,
        cpu_us=ours.cpu_us,
        p99_ms=ours.p99_ms,
    )
