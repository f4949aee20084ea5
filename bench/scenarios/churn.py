"""Manifests of a million entries, written all the time, and who is kept waiting by that.

New objects are asked for at a steady rate: each becomes an entry, so that the manifest is never
what it was, and is written as often as the server allows itself. The redirects that are measured
come at a steady rate, too (an open loop): a stall is charged for everybody who would have come
meanwhile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import trio

from bench.load import Counting, Expected, Family, LoadFailed, Outcome, Plan, fire
from bench.local import Processors, ask
from bench.report import Figure, Result, Run
from bench.scenarios.requests import HIDDEN, HIDDEN_FROM, hot, replaced
from bench.scenarios.stage import BUCKET, Options, Stage, measure, result_of, stage
from bench.stand_in import BucketSpec

ENTRIES = 1_000_000
RATE_PER_S = 2000.0
NEW_PER_S = 20.0
DURATION_S = 20.0
P999_MS = 25.0


@dataclass(frozen=True, slots=True)
class Churn:
    """`manifests` were written while `outcome` was measured; `added` entries are new."""

    run: Run
    outcome: Outcome
    entries: int
    manifests: int
    added: int


async def churn(
    *,
    entries: int = ENTRIES,
    duration_s: float = DURATION_S,
    processors: Processors | None = None,
    options: Options | None = None,
) -> Churn:
    """The scenario as a call. Raises StartFailed, LoadFailed, BadPlan."""
    given = options or Options(duration_s=duration_s, processors=processors or Processors())
    given = replace(given, rate_per_s=given.rate_per_s or RATE_PER_S, requests=None, wrk=False)
    given.local_only("manifest-churn")
    spec = BucketSpec(BUCKET, entries, hidden=HIDDEN, hidden_from=HIDDEN_FROM, manifest=True)
    async with stage(given, [spec]) as place:
        plan = given.plan(place.target, replaced(given) or hot(place), duration_s=duration_s)
        before = await _manifests_written(place)
        runs: list[tuple[Run, Outcome]] = []
        async with trio.open_nursery() as nursery:
            seconds = plan.warm_up_s + (plan.duration_s or duration_s)
            added: list[Outcome] = []
            nursery.start_soon(_add, place, plan, seconds, added)
            runs.append(await measure("manifest-churn", given, place, plan))
            nursery.cancel_scope.deadline = trio.current_time() + plan.timeout_s
        manifests = await _manifests_written(place) - before
    if not added:
        raise LoadFailed("the load that makes new entries did not end")
    [(run, outcome)] = runs
    return Churn(run, outcome, entries, manifests, added[0].requests)


async def _add(place: Stage, plan: Plan, seconds: float, added: list[Outcome]) -> None:
    family = Family(f"/{BUCKET}/file-{{n}}", Expected(302, ""), HIDDEN_FROM, HIDDEN)
    adding = replace(
        plan,
        deck=Counting(family),
        connections=4,
        processes=1,
        rate_per_s=NEW_PER_S,
        duration_s=seconds,
        warm_up_s=0.0,
    )
    added.append(await fire(adding))


_WRITES = re.compile(
    rb'^parparchik_manifest_writes_total\{[^}]*outcome="written"[^}]*\} ([0-9.e+]+)$', re.MULTILINE
)


async def _manifests_written(place: Stage) -> int:
    _, exposition = await ask(place.target.port, "/metrics")
    return round(sum(float(number) for number in _WRITES.findall(exposition)))


async def manifest_churn(options: Options) -> Result:
    entries = options.entries or ENTRIES
    found = await churn(entries=entries, options=options)
    p999_ms = found.outcome.latency.percentile(99.9) / 1e6
    figures = [
        Figure("p99.9 of redirects meanwhile", p999_ms, "ms", P999_MS),
        Figure("manifests written meanwhile", found.manifests, "", 1, at_least=True),
        Figure("entries added meanwhile", found.added, ""),
    ]
    note = f"{entries:,} entries; {NEW_PER_S:g} new ones a second"
    return result_of("manifest-churn", options, [found.run], figures, [note])
