"""One comparison from its first program to its last figure."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.compare import dedup as deduplicating
from bench.compare import errands
from bench.compare.bulk import RACES, BulkContestant, BulkRace, bulk_programs, judge_bulk, sink
from bench.compare.dedup import DedupContestant
from bench.compare.dedup_rounds import dedup_rounds
from bench.compare.effort import Effort
from bench.compare.figures import (
    Churn,
    Comparison,
    Entrant,
    Instructions,
    Latency,
    Memory,
    Probes,
    Sample,
    median_of,
)
from bench.compare.filetracker import NoPeer, find_peer
from bench.compare.judge import WrongAnswer, judge, judge_absence
from bench.compare.machine import cautions, commit, machine, versions
from bench.compare.programs import (
    REDIRECT,
    STRICT,
    WORKERS,
    Contestant,
    parparchik,
    programs,
    s3,
)
from bench.compare.rounds import CONNECTIONS, GENERATORS, bulk_rounds, by_two_generators, rounds
from bench.compare.running import running
from bench.compare.stage import KEYS, Stage
from bench.instructions import NoCounter, count_all
from bench.local import Running, make_certificate, share_out
from bench.scenarios.churn import churn

OURS = REDIRECT[0]


@dataclass(slots=True)
class Measuring:
    """A comparison under way. The first processor is the server's; the others are the load's and
    S3's. Each of the methods adds its own figures."""

    stage: Stage
    effort: Effort
    say: Callable[[str], None]
    processors: Sequence[int]
    location_bytes: int = 0
    entrants: list[Entrant] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    probed: Probes | None = None
    churned: Churn | None = None
    remembered: Memory | None = None
    instructions: list[Instructions] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peers: dict[str, str] = field(default_factory=dict)
    """Versions of what is found besides."""

    async def race(self, group: str, contestants: Sequence[Contestant]) -> None:
        """Everybody's answers are looked at before and after all take turns; where the group is
        about it, ours has more to do then: `_more`."""
        self.say(f"{group}: {len(contestants)} contestants")
        every = programs(self.stage)
        async with AsyncExitStack() as stack:
            servers = {}
            for name in dict.fromkeys(contestant.program for contestant in contestants):
                started = running(every[name], self.processors[:1])
                servers[name] = await stack.enter_async_context(started)
            self._look_at(contestants)
            samples = await rounds(
                contestants,
                servers,
                self.stage,
                processors=self.processors[1:],
                count=self.effort.rounds,
                turn_s=self.effort.turn_s,
                say=self.say,
            )
            self._look_at(contestants)
            self._enter(group, contestants, samples)
            most_per_s = median_of([s.per_s for s in samples if s.contestant == OURS.name])
            if most_per_s:
                await self._more(servers[OURS.program], most_per_s)

    async def _more(self, server: Running, most_per_s: float) -> None:
        """Ours by both generators, and at half the rate that it reached."""
        self.entrants += GENERATORS
        self.samples += await by_two_generators(
            OURS,
            server,
            self.stage,
            processors=self.processors[1:],
            count=self.effort.rounds,
            turn_s=self.effort.turn_s,
            say=self.say,
        )
        for _ in range(self.effort.rounds):
            run = await errands.latency(
                self.stage,
                self.stage.port(OURS.port),
                rate_per_s=round(most_per_s / 2),
                processors=self.processors[1:],
                seconds=self.effort.latency_s,
            )
            self.say(f"  at {run.rate_per_s:,.0f} /s: p99 {run.p99_ms:.3f} ms")
            self.latencies.append(run)

    async def workers(self) -> None:
        """One worker and two, on all processors, and the load there as well."""
        self.say("workers")
        every = programs(self.stage)
        await make_certificate(self.stage.directory)
        async with AsyncExitStack() as stack:
            servers = {}
            for name in dict.fromkeys(contestant.program for contestant in WORKERS):
                started = running(every[name], self.processors)
                servers[name] = await stack.enter_async_context(started)
            self._look_at(WORKERS)
            samples = await rounds(
                WORKERS,
                servers,
                self.stage,
                processors=self.processors,
                count=self.effort.rounds,
                turn_s=self.effort.turn_s,
                say=self.say,
            )
            self._look_at(WORKERS)
        self._enter("workers", WORKERS, samples)

    async def bulk(self) -> None:
        """The races about bytes, one after the other, before the same servers."""
        self.say("bulk")
        every, processors = bulk_programs(self.stage), self.processors
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(sink(self.stage), processors[1:]))
            servers = {
                name: await stack.enter_async_context(running(program, processors[:1]))
                for name, program in every.items()
            }
            for race in RACES:
                self._look_at_bulk(race)
                samples = await bulk_rounds(
                    race,
                    servers,
                    self.stage,
                    processors=processors[1:],
                    count=self.effort.rounds,
                    turn_s=self.effort.bulk_turn_s,
                    say=self.say,
                )
                self._look_at_bulk(race)
                self._enter(race.group, race.contestants, samples)

    def _look_at_bulk(self, race: BulkRace) -> None:
        for contestant in race.contestants:
            judge_bulk(race, contestant, self.stage)

    async def dedup(self, filetracker: Path) -> None:
        """`filetracker` is a Python that has the peer, perhaps: without it ours runs alone."""
        self.say("dedup")
        peer = None
        try:
            peer = find_peer(filetracker)
        except NoPeer as error:
            self.notes.append(f"filetracker's own server was not measured: {error}.")
        else:
            self.peers |= peer.versions
        samples = await dedup_rounds(
            self.stage, peer, processors=self.processors, effort=self.effort, say=self.say
        )
        for race in deduplicating.RACES:
            contestants = deduplicating.contestants_of(race, with_peer=peer is not None)
            self._enter(race.group, contestants, samples[race.group])

    async def memory(self) -> None:
        self.say(f"memory: {self.effort.memory_requests:,} requests")
        program = parparchik(self.stage, "memory")
        async with running(program, self.processors[:1]) as server:
            self.remembered = await errands.memory(
                self.stage,
                program.port,
                server,
                requests=self.effort.memory_requests,
                most_s=self.effort.memory_most_s,
                processors=self.processors[1:],
                say=self.say,
            )
        if self.remembered.last_requests < self.effort.memory_requests:
            self.notes.append(
                f"Memory was looked at after {self.remembered.last_requests:,} requests only: "
                f"more were not answered in {self.effort.memory_most_s:.0f} s."
            )

    async def probes(self) -> None:
        self.say(f"probes: {self.effort.probes:,} HEADs")
        self.probed = await errands.probes(count=self.effort.probes)

    async def churn(self) -> None:
        self.say(f"churn: {self.effort.churn_entries:,} entries")
        done = await churn(
            entries=self.effort.churn_entries,
            duration_s=self.effort.churn_s,
            processors=share_out(),
        )
        latency = done.outcome.latency
        self.churned = Churn(
            entries=done.entries,
            requests=done.outcome.requests,
            errors=done.outcome.error_count,
            p50_ms=latency.percentile(50) / 1e6,
            p99_ms=latency.percentile(99) / 1e6,
            p999_ms=latency.percentile(99.9) / 1e6,
            max_ms=latency.max_ns / 1e6,
        )

    async def count_instructions(self) -> None:
        self.say("instructions")
        try:
            self.instructions = await count_all(self.effort.instructions, self.processors, self.say)
        except NoCounter as error:
            self.notes.append(f"Instructions were not counted: {error}.")

    def _look_at(self, contestants: Sequence[Contestant]) -> None:
        lengths = {judge(contestant, self.stage) for contestant in contestants}
        for contestant in contestants:
            if contestant.kind == "verified":
                judge_absence(contestant, self.stage)
        if self.location_bytes:
            lengths.add(self.location_bytes)
        if len(lengths) != 1:
            raise WrongAnswer(f"Locations of several lengths: {sorted(lengths)}")
        self.location_bytes = lengths.pop()

    def _enter(
        self,
        group: str,
        contestants: Sequence[Contestant | BulkContestant | DedupContestant],
        samples: Sequence[Sample],
    ) -> None:
        self.entrants += [
            Entrant(name=c.name, title=c.title, group=group, does=c.does) for c in contestants
        ]
        self.samples += samples


async def compare(effort: Effort, filetracker: Path, say: Callable[[str], None]) -> Comparison:
    """`filetracker` as in `Measuring.dedup`. Raises local.StartFailed, judge.WrongAnswer and
    load.LoadFailed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parparchik-bench-") as scratch:
        processors = sorted(os.sched_getaffinity(0))
        stage = Stage(Path(scratch))
        stage.furnish()
        done = Measuring(stage, effort, say, processors)
        done.notes += cautions()
        async with running(s3(stage), processors[1:]):
            await done.race("redirect", REDIRECT)
            await done.race("strict", STRICT)
            await done.workers()
            await done.bulk()
            await done.dedup(filetracker)
            await done.memory()
        await done.probes()
        await done.churn()
        await done.count_instructions()
    return Comparison(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        machine=machine(),
        versions=versions() | done.peers,
        seconds=round(time.monotonic() - begun),
        turn_s=effort.turn_s,
        connections=CONNECTIONS,
        keys=len(KEYS),
        location_bytes=done.location_bytes,
        listed_files=effort.listed_files,
        entrants=done.entrants,
        samples=done.samples,
        latency=done.latencies,
        probes=done.probed,
        churn=done.churned,
        memory=done.remembered,
        instructions=done.instructions,
        notes=done.notes,
    )
