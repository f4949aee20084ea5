"""The dedup store's races: whoever takes part runs all the while, and takes turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import trio

from bench.compare.dedup import (
    RACES,
    DedupContestant,
    DedupRace,
    blobs,
    contestants_of,
    dedup_deck,
    dedup_programs,
    fill,
    judge_dedup,
)
from bench.compare.effort import Effort
from bench.compare.figures import Sample
from bench.compare.filetracker import Peer
from bench.compare.rounds import turn
from bench.compare.running import running
from bench.compare.stage import Stage
from bench.load import Plan, Target, fire


async def dedup_rounds(
    stage: Stage,
    peer: Peer | None,
    *,
    processors: Sequence[int],
    effort: Effort,
    say: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """The samples of each race, by its group. Answers are looked at before and afterwards, and
    every one of them by the load. Raises WrongAnswer, StartFailed, LoadFailed."""
    samples: dict[str, list[Sample]] = {}
    programs = [*dedup_programs(stage), *([] if peer is None else [peer.program(stage)])]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(blobs(stage), processors[1:]))
        servers = {
            program.name: await stack.enter_async_context(running(program, processors[:1]))
            for program in programs
        }
        everybody = contestants_of(RACES[0], with_peer=peer is not None)
        for contestant in everybody:
            await trio.to_thread.run_sync(judge_dedup, contestant, stage)
            await fill(contestant, stage, processors[1:], listed=effort.listed_files)
        for race in RACES:
            contestants = contestants_of(race, with_peer=peer is not None)
            samples[race.group] = turns = []
            for number in range(1, effort.rounds + 1):
                for one in contestants:
                    load = _plan(race, one, stage, processors[1:], effort)
                    warm_up = dedup_deck(race, one, listed=effort.listed_files)
                    server = servers[one.program]
                    done = await turn(one.name, number, server, load, fire, warm_up=warm_up)
                    say(f"  {number}/{effort.rounds}  {one.name:<22}{done.per_s:>9,.1f} /s")
                    turns.append(done)
        for contestant in everybody:
            await trio.to_thread.run_sync(judge_dedup, contestant, stage)
    return samples


def _plan(
    race: DedupRace,
    contestant: DedupContestant,
    stage: Stage,
    processors: Sequence[int],
    effort: Effort,
) -> Plan:
    return Plan(
        Target("127.0.0.1", stage.port(contestant.program)),
        dedup_deck(race, contestant, listed=effort.listed_files),
        connections=race.connections,
        duration_s=None if race.lists else effort.dedup_turn_s,
        requests=race.lists,
        warm_up_s=0,
        processors=tuple(processors),
        bulk=race.kind == "list",
    )
