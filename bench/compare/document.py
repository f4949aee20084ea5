"""RESULTS.md and its charts, made from figures alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from bench.compare.bulk_sections import bulk, bulk_charts
from bench.compare.dedup_sections import dedup, dedup_charts
from bench.compare.figures import ROUNDS_LEAST, Comparison
from bench.compare.goals import GOALS, Goal
from bench.compare.sections import (
    GROUPS,
    generators,
    instructions,
    latency,
    plain,
    race,
    ranked,
    single_figures,
    table,
)
from bench.report import Bar, bar_chart

_TRIED = Path(__file__).with_name("tried.toml")


def charts(comparison: Comparison) -> dict[str, str]:
    """SVG documents by file name."""
    drawn = {}
    for group, title in GROUPS.items():
        entrants = ranked(comparison, group)
        if entrants:
            bars = [
                Bar(
                    plain(entrant.title),
                    comparison.per_s(entrant.name) or 0,
                    strong="**" in entrant.title,
                )
                for entrant in entrants
            ]
            note = f"requests a second, one core, {comparison.connections} connections"
            if group == "workers":
                note = f"requests a second, {comparison.machine.processors} cores, load included"
            drawn[f"{comparison.date}-{group}.svg"] = bar_chart(title, bars, note=note)
    return drawn | bulk_charts(comparison) | dedup_charts(comparison)


def tried() -> dict[str, str]:
    """What was tried by hand, by the name of the goal."""
    return tomllib.loads(_TRIED.read_text())


def document(comparison: Comparison, tried: Mapping[str, str]) -> str:
    """The whole of RESULTS.md."""
    parts = [
        _head(comparison),
        _goals(comparison),
        _missed(comparison, tried),
        *(race(comparison, group) for group in GROUPS),
        bulk(comparison),
        dedup(comparison),
        generators(comparison),
        latency(comparison),
        single_figures(comparison),
        instructions(comparison),
        _method(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(comparison: Comparison) -> str:
    machine = comparison.machine
    made = f" of commit {comparison.commit}" if comparison.commit else ""
    lines = [
        "# parparchik beside its peers",
        "",
        "Made by `make bench`; every number comes from "
        f"[results/{comparison.date}.json](results/{comparison.date}.json).",
        "",
        f"Measured on {comparison.date}{made}, in {comparison.seconds / 60:.0f} minutes, on "
        f"{machine.processors} processors ({machine.processor}), "
        f"{machine.memory_bytes / 2**30:.0f} GiB, {machine.system}, Linux {machine.kernel}"
        f"{f', TCP with {machine.congestion_control}' if machine.congestion_control else ''}.",
    ]
    if _rounds(comparison) < ROUNDS_LEAST:
        lines += ["", "**A short run, to show that it works: its figures mean little.**"]
    lines += [line for note in comparison.notes for line in ("", note)]
    return "\n".join(lines)


def _goals(comparison: Comparison) -> str:
    rows = [("figure", "must reach", "aim", "reached", "goal")]
    for goal in GOALS:
        met = {None: "not measured", True: "met", False: "**missed**"}[goal.met(comparison)]
        aim = "" if goal.aim == goal.must else _value(goal, goal.aim)
        reached = goal.reached(comparison)
        shown = "" if reached is None else _value(goal, reached)
        rows.append((goal.title, _value(goal, goal.must), aim, shown, met))
        for one in goal.beside:
            if (value := one.reached(comparison)) is not None:
                rows.append((f"– {one.title}", "", "", _value(goal, value), ""))
    intro = (
        f"One process on one core, {comparison.connections} connections, {comparison.keys} private "
        "keys, access log off."
    )
    return f"## Goals\n\n{intro}\n\n{table(rows)}"


def _missed(comparison: Comparison, tried: Mapping[str, str]) -> str:
    lines = []
    for goal in GOALS:
        if goal.met(comparison) is False:
            said = [goal.bound(comparison), *tried.get(goal.name, "").split()]
            lines.append(f"- **{goal.title}**: {' '.join(filter(None, said))}")
    return "\n".join(["### What bounds those that are missed", "", *lines]) if lines else ""


def _method(comparison: Comparison) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    return "\n".join(
        [
            "## How it was measured",
            "",
            "Each contestant has one processor to itself, as one process (nginx: a master and one "
            "worker); wrk and S3 have the rest. Contestants take turns of "
            f"{comparison.turn_s:g} s, "
            f"after a second that does not count, in {_rounds(comparison)} rounds: figures are "
            "medians, ratios are taken within a round. Before and after, every contestant is asked "
            "for all keys: status, signature and the length of the Location "
            f"({comparison.location_bytes} bytes, the same for all) are checked. Processor times "
            'are those of /proc, in the kernel and out of it; "server\'s CPU" is how much of its '
            "processor the server had: well below 100 % the load is the bound, not the server.",
            "",
            f"Versions: {versions}.",
        ]
    )


def _rounds(comparison: Comparison) -> int:
    return max((sample.round for sample in comparison.samples), default=0)


def _value(goal: Goal, value: float) -> str:
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{shown}{goal.unit}"
