"""What every scenario stands on: options, a server to ask, and a load that is watched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from bench.load import Deck, Outcome, Plan, Target, fire, fire_wrk
from bench.local import (
    Processors,
    Running,
    Settings,
    StartFailed,
    start_parparchik,
    start_rclone,
    start_stand_in,
)
from bench.report import Figure, Result, Run, run_of, this_machine
from bench.report.result import now
from bench.stand_in import BucketSpec

BUCKET = "bench"
OnProgress = Callable[[str, int, int], object]
"""Called with the name of a run, its requests and its errors so far."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. `target` None: everything runs here (`--local`). None of the
    others: what the scenario thinks best. `paths` replace the scenario's own."""

    target: Target | None = None
    connections: int | None = None
    processes: int = 1
    rate_per_s: float | None = None
    keep_alive: bool = True
    duration_s: float | None = None
    requests: int | None = None
    warm_up_s: float = 1.0
    timeout_s: float = 10.0
    wrk: bool = False
    s3: Literal["own", "rclone"] = "own"
    entries: int | None = None
    paths: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    processors: Processors = field(default_factory=Processors)
    on_progress: OnProgress = lambda _name, _requests, _errors: None

    def plan(self, target: Target, deck: Deck, *, duration_s: float = 10.0) -> Plan:
        """Raises BadPlan."""
        given = self.duration_s
        if given is None and self.requests is None:
            given = duration_s
        return Plan(
            target,
            deck,
            connections=self.connections or 32,
            processes=self.processes,
            rate_per_s=self.rate_per_s,
            keep_alive=self.keep_alive,
            duration_s=given,
            requests=self.requests,
            warm_up_s=self.warm_up_s,
            timeout_s=self.timeout_s,
            processors=self.processors.load,
        )

    def local_only(self, name: str) -> None:
        if self.target is not None:
            raise StartFailed(f"{name} looks into the server's process: it runs with --local only")


@dataclass(frozen=True, slots=True)
class Stage:
    """A server to ask: at `target`; its Location headers begin with `location` where that is
    known. `server` is its process, where that is ours."""

    target: Target
    location: str | None = None
    server: Running | None = None
    s3: Running | None = None


@asynccontextmanager
async def stage(
    options: Options,
    specs: Sequence[BucketSpec],
    *,
    buckets: str = BUCKET,
    settings: Sequence[tuple[str, str]] = (),
    until: str = "/readiness",
    server_processors: Sequence[int] | None = None,
) -> AsyncIterator[Stage]:
    """The target that was given, or a parparchik and an S3 of our own. Raises StartFailed."""
    if options.target is not None:
        yield Stage(options.target)
        return
    start_s3 = start_rclone if options.s3 == "rclone" else start_stand_in
    processors = options.processors
    async with start_s3(specs, processors.load) as (s3_port, s3):
        given = Settings(buckets, f"127.0.0.1:{s3_port}", more=(*settings, *options.settings))
        cpus = processors.server if server_processors is None else server_processors
        async with start_parparchik(given, cpus, until=until) as server:
            target = Target("127.0.0.1", given.port)
            yield Stage(target, f"http://127.0.0.1:{s3_port}", server, s3)


class _Watch:
    """Reads the server's processor time when the measuring begins, and passes progress on."""

    def __init__(self, name: str, server: Running | None, on_progress: OnProgress) -> None:
        self._name = name
        self._server = server
        self._on_progress = on_progress
        self._cpu_from_s = 0.0

    def measuring(self) -> None:
        if self._server is not None:
            self._cpu_from_s = self._server.cpu_s()

    def progress(self, requests: int, errors: int) -> None:
        self._on_progress(self._name, requests, errors)

    def server_cpu_s(self) -> float | None:
        return None if self._server is None else self._server.cpu_s() - self._cpu_from_s


async def measure(name: str, options: Options, place: Stage, plan: Plan) -> tuple[Run, Outcome]:
    """One load, by the tool that the options name. Raises BadPlan and LoadFailed."""
    watch = _Watch(name, place.server, options.on_progress)
    outcome = await (fire_wrk if options.wrk else fire)(plan, watch)
    run = run_of(name, plan, outcome, by_wrk=options.wrk, server_cpu_s=watch.server_cpu_s())
    if place.server is not None:
        place.server.check()
    return run, outcome


def result_of(
    name: str,
    options: Options,
    runs: Sequence[Run] = (),
    figures: Sequence[Figure] = (),
    notes: Sequence[str] = (),
) -> Result:
    if options.target is None:
        s3 = {
            "own": "S3: the stand-in of this suite, which checks no signatures",
            "rclone": "S3: rclone serve s3 :memory:",
        }[options.s3]
        notes = [options.processors.describe(), f"{s3}; access log off", *notes]
    return Result(
        scenario=name,
        started=now(),
        target=options.target.url if options.target else "a parparchik started for this",
        machine=this_machine(),
        notes=list(notes),
        runs=list(runs),
        figures=list(figures),
    )
