"""The section of RESULTS.md that shows the races about bytes, and its charts."""

from __future__ import annotations

from statistics import median

from bench.compare.figures import MIB, Comparison, Entrant
from bench.compare.goals import BUSY
from bench.compare.sections import plain, table
from bench.report import Bar, bar_chart

BULK_GROUPS = {
    "bulk-small": "Cached objects of 1 KiB",
    "bulk-large": "Cached objects of 1 MiB, from disk",
    "bulk-cold": "Cold stream: objects of 8 MiB, each for the first time",
    "bulk-put": "PUT stream: objects of 32 MiB",
}
_REFERENCES = {
    "ours-small": "nginx-small",
    "ours-large": "nginx-large",
    "ours-cold": "nginx-cold",
    "ours-kept": "nginx-kept",
    "ours-put": "nginx-put",
}
"""With whom each of ours is compared."""

_NOTES = {
    "bulk-small": "Requests are what counts here.",
    "bulk-large": "",
    "bulk-cold": "S3 is the nginx that serves files, on the load's processor; each key is asked "
    "for once.",
    "bulk-put": "S3 is the stand-in of this suite, on the load's processor: it counts what comes, "
    "and keeps nothing. The load is our own generator, which counts bytes as they go.",
}


def bulk(comparison: Comparison) -> str:
    """Empty where nobody was measured."""
    parts = [part for group in BULK_GROUPS if (part := _race(comparison, group))]
    if not parts:
        return ""
    intro = (
        "## Bytes\n\nThe object gateway beside nginx `proxy_cache`: 1 KiB over 32 connections, "
        "1 MiB over 32, the others over 8. Both cache in a directory of the same file system, and "
        "have the same S3. Where a server has less than all of its processor, the load and S3 on "
        "the other one are the bound: then the processor time tells more than the rate."
    )
    return "\n\n".join([intro, *parts])


def bulk_charts(comparison: Comparison) -> dict[str, str]:
    """SVG documents by file name."""
    drawn = {}
    for group, title in BULK_GROUPS.items():
        bars = [
            Bar(plain(each.title), _rate(comparison, each), strong="**" in each.title)
            for each in _ranked(comparison, group)
        ]
        if bars:
            unit = "requests" if group == "bulk-small" else "MiB"
            note = f"{unit} a second, one core"
            drawn[f"{comparison.date}-{group}.svg"] = bar_chart(title, bars, note=note)
    return drawn


def _race(comparison: Comparison, group: str) -> str:
    entrants = _ranked(comparison, group)
    if not entrants:
        return ""
    title = BULK_GROUPS[group]
    says = [_NOTES[group], _load_note(comparison, entrants)]
    parts = [
        *(f"### {title}", f"![{title}](results/{comparison.date}-{group}.svg)"),
        table([_HEADS, *(_row(comparison, each) for each in entrants)]),
        " ".join(filter(None, says)),
        "\n".join(f"- {plain(each.title)}: {each.does}." for each in entrants if each.does),
    ]
    return "\n\n".join(filter(None, parts))


_HEADS = (
    *("", "requests/s", "MiB/s", "of nginx", "CPU µs a request", "CPU ms a MiB"),
    *("p50 ms", "p99 ms", "server's CPU", "load's ms a MiB"),
)


def _row(comparison: Comparison, entrant: Entrant) -> tuple[str, ...]:
    name, turns = entrant.name, comparison.of(entrant.name)
    errors = sum(turn.errors for turn in turns)
    other = _REFERENCES.get(name, name)
    small = entrant.group == "bulk-small"
    ratio = (comparison.ratio if small else comparison.bytes_ratio)(name, other)
    return (
        f"{entrant.title} ({errors:,} errors)" if errors else entrant.title,
        f"{comparison.per_s(name) or 0:,.0f}",
        "" if small else f"{_rate(comparison, entrant):,.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{comparison.server_us(name) or 0:,.1f}",
        "" if small else f"{(comparison.server_us_per_mib(name) or 0) / 1e3:.3f}",
        f"{median(turn.p50_us for turn in turns) / 1e3:.2f}",
        f"{median(turn.p99_us for turn in turns) / 1e3:.2f}",
        f"{comparison.server_busy(name) or 0:.0%}",
        "" if small else f"{(comparison.load_us_per_mib(name) or 0) / 1e3:.3f}",
    )


def _load_note(comparison: Comparison, entrants: list[Entrant]) -> str:
    waiting = [e for e in entrants if (comparison.server_busy(e.name) or 0) < BUSY]
    if not waiting:
        return "All servers have all of their processor."
    names = " and ".join(plain(each.title) for each in waiting)
    return f"The load, with S3 beside it, or the disk is the bound of {names}."


def _rate(comparison: Comparison, entrant: Entrant) -> float:
    """What the group is ranked by."""
    if entrant.group == "bulk-small":
        return comparison.per_s(entrant.name) or 0.0
    return (comparison.bytes_per_s(entrant.name) or 0.0) / MIB


def _ranked(comparison: Comparison, group: str) -> list[Entrant]:
    """Those that were measured, the fastest first."""
    measured = [e for e in comparison.entrants if e.group == group and comparison.per_s(e.name)]
    return sorted(measured, key=lambda each: -_rate(comparison, each))
