"""Contestants take turns, A B C A B C, so that a slow minute of the machine is everybody's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from bench.compare.bulk import BulkRace, deck_of
from bench.compare.figures import MIB, Entrant, Sample
from bench.compare.programs import Contestant
from bench.compare.stage import KEYS, Stage
from bench.load import Ask, Cycle, Deck, Expected, Outcome, Plan, Target, fire, fire_wrk
from bench.local import Running

CONNECTIONS = 32
GENERATORS = (
    Entrant(name="by-wrk", title="wrk", group="generators"),
    Entrant(name="by-own", title="**parparchik bench**", group="generators"),
)
WARM_UP_S = 1.0


def plan(
    port: int, stage: Stage, processors: Sequence[int], duration_s: float, *, tls: bool = False
) -> Plan:
    """The load of every turn: a closed loop of 32 connections over all keys."""
    asks = tuple(Ask(stage.path(key), Expected(302)) for key in KEYS)
    return Plan(
        Target("127.0.0.1", port, tls=tls, trusted=stage.certificate if tls else None),
        Cycle(asks),
        connections=CONNECTIONS,
        duration_s=duration_s,
        warm_up_s=0,
        processors=tuple(processors),
    )


async def turn(
    contestant: str,
    number: int,
    server: Running,
    load: Plan,
    generator: Callable[[Plan], Awaitable[Outcome]] = fire_wrk,
    *,
    warm_up: Deck | None = None,
) -> Sample:
    """One contestant under load, after a second that does not count; that has requests of its own
    where they are given."""
    await generator(replace(load, duration_s=WARM_UP_S, deck=warm_up or load.deck))
    before_s = server.cpu_s()
    outcome = await generator(load)
    return sample(contestant, number, outcome, server_cpu_s=server.cpu_s() - before_s)


def sample(contestant: str, number: int, outcome: Outcome, *, server_cpu_s: float) -> Sample:
    return Sample(
        contestant=contestant,
        round=number,
        requests=outcome.requests,
        errors=outcome.error_count,
        seconds=round(outcome.seconds, 3),
        p50_us=outcome.latency.percentile(50) / 1e3,
        p99_us=outcome.latency.percentile(99) / 1e3,
        server_cpu_s=round(server_cpu_s, 3),
        load_cpu_s=round(outcome.cpu_s, 3),
        body_bytes=outcome.body_bytes,
    )


async def rounds(
    contestants: Sequence[Contestant],
    servers: Mapping[str, Running],
    stage: Stage,
    *,
    processors: Sequence[int],
    count: int,
    turn_s: float,
    say: Callable[[str], None],
) -> list[Sample]:
    """`count` rounds of all contestants; `processors` are those of the load."""
    samples = []
    for number in range(1, count + 1):
        for contestant in contestants:
            port = stage.port(contestant.port)
            load = plan(port, stage, processors, turn_s, tls=contestant.tls)
            done = await turn(contestant.name, number, servers[contestant.program], load)
            say(f"  {number}/{count}  {contestant.name:<20}{done.per_s:>9,.0f} /s")
            samples.append(done)
    return samples


async def bulk_rounds(
    race: BulkRace,
    servers: Mapping[str, Running],
    stage: Stage,
    *,
    processors: Sequence[int],
    count: int,
    turn_s: float,
    say: Callable[[str], None],
) -> list[Sample]:
    """As `rounds`. Bodies that are sent are counted as they go, by our own generator: wrk counts
    whole ones only."""
    samples = []
    for number in range(1, count + 1):
        for contestant in race.contestants:
            load = Plan(
                Target("127.0.0.1", stage.port(contestant.port)),
                deck_of(race.kind, contestant),
                connections=race.connections,
                duration_s=turn_s,
                warm_up_s=0,
                processors=tuple(processors),
                bulk=race.kind != "small",
            )
            generator = fire if race.kind == "put" else fire_wrk
            server, warm_up = servers[contestant.program], deck_of(race.kind, contestant)
            done = await turn(contestant.name, number, server, load, generator, warm_up=warm_up)
            rate = f"{done.per_s:>9,.0f} /s {done.bytes_per_s / MIB:>9,.0f} MiB/s"
            say(f"  {number}/{count}  {contestant.name:<20}{rate}")
            samples.append(done)
    return samples


async def by_two_generators(
    contestant: Contestant,
    server: Running,
    stage: Stage,
    *,
    processors: Sequence[int],
    count: int,
    turn_s: float,
    say: Callable[[str], None],
) -> list[Sample]:
    """`count` rounds of one contestant, each with wrk and with our own generator, which looks at
    every Location as well; filed under the generator's name."""
    load = plan(stage.port(contestant.port), stage, processors, turn_s)
    asks = tuple(
        Ask(stage.path(key), Expected(302, f"{stage.s3_url}{stage.path(key)}")) for key in KEYS
    )
    samples = []
    for number in range(1, count + 1):
        for generator in GENERATORS:
            fired = fire_wrk if generator.name == "by-wrk" else fire
            given = replace(load, deck=Cycle(asks))
            done = await turn(generator.name, number, server, given, fired)
            say(f"  {number}/{count}  {generator.name:<20}{done.per_s:>9,.0f} /s")
            samples.append(done)
    return samples
