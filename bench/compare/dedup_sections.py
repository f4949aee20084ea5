"""The section of RESULTS.md that shows the dedup store's races, and its charts."""

from __future__ import annotations

from statistics import median

from bench.compare.figures import Comparison, Entrant
from bench.compare.sections import plain, ranked, table
from bench.report import Bar, bar_chart

DEDUP_GROUPS = {
    "dedup-put": "PUT of new files of 4 KiB",
    "dedup-duplicate": "PUT of a file of 4 KiB that is there, to new paths",
    "dedup-get": "GET of files of 4 KiB",
    "dedup-list": "List of {listed:,} files",
}


def dedup(comparison: Comparison) -> str:
    """Empty where nobody was measured."""
    parts = [part for group in DEDUP_GROUPS if (part := _race(comparison, group))]
    if not parts:
        return ""
    intro = (
        "## The dedup store\n\nBeside filetracker's own server, with its defaults (gunicorn, "
        "gevent) but for one worker, for it has one processor, and no access log. Both are sent "
        "what filetracker's client sends: gzip with its digest and size; over 32 connections that "
        "are kept, lists over one. Status and bytes of every answer are checked. Our S3 is the "
        "stand-in of this suite, on the load's processor: it keeps in memory what it is given. "
        "Our SQLite, with its defaults, and all that the peer has are on one file system. Where a "
        "server has less than all of its processor, it waits: for the disk, for S3, or for the "
        "load."
    )
    return "\n\n".join([intro, *parts])


def dedup_charts(comparison: Comparison) -> dict[str, str]:
    """SVG documents by file name."""
    drawn = {}
    for group in DEDUP_GROUPS:
        bars = [
            Bar(plain(one.title), comparison.per_s(one.name) or 0, strong="**" in one.title)
            for one in ranked(comparison, group)
        ]
        if bars:
            note = "requests a second, one core"
            title = _title(comparison, group)
            drawn[f"{comparison.date}-{group}.svg"] = bar_chart(title, bars, note=note)
    return drawn


def _race(comparison: Comparison, group: str) -> str:
    entrants = ranked(comparison, group)
    if not entrants:
        return ""
    title = _title(comparison, group)
    parts = [
        *(f"### {title}", f"![{title}](results/{comparison.date}-{group}.svg)"),
        table([_HEADS, *(_row(comparison, group, each) for each in entrants)]),
        "\n".join(f"- {plain(each.title)}: {each.does}." for each in entrants if each.does),
    ]
    return "\n\n".join(filter(None, parts))


def _title(comparison: Comparison, group: str) -> str:
    return DEDUP_GROUPS[group].format(listed=comparison.listed_files)


_HEADS = (
    *("", "requests/s", "of filetracker's", "CPU µs a request", "p50 ms", "p99 ms"),
    *("server's CPU", "load's µs"),
)


def _row(comparison: Comparison, group: str, entrant: Entrant) -> tuple[str, ...]:
    name, turns = entrant.name, comparison.of(entrant.name)
    errors = sum(turn.errors for turn in turns)
    ratio = comparison.ratio(name, group.replace("dedup-", "filetracker-"))
    per_s = comparison.per_s(name) or 0
    return (
        f"{entrant.title} ({errors:,} errors)" if errors else entrant.title,
        f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.2f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{comparison.server_us(name) or 0:,.0f}",
        f"{median(turn.p50_us for turn in turns) / 1e3:.2f}",
        f"{median(turn.p99_us for turn in turns) / 1e3:.2f}",
        f"{comparison.server_busy(name) or 0:.0%}",
        f"{comparison.load_us(name) or 0:,.1f}",
    )
