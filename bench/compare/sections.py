"""The sections of RESULTS.md that show figures of one kind, and who is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.compare.figures import MIB, Comparison, Entrant
from bench.compare.goals import OURS, STRICTLY, best_of_the_strict, workers_at_most

GROUPS = {
    "redirect": "redirect-hot",
    "strict": "redirect-strict: a HEAD to S3 for each request",
    "workers": "Workers",
}
GENERATORS_APART = 0.15


def race(comparison: Comparison, group: str) -> str:
    """Empty where nobody was measured."""
    entrants = ranked(comparison, group)
    if not entrants:
        return ""
    chart = f"![{GROUPS[group]}](results/{comparison.date}-{group}.svg)"
    parts = [
        *(f"## {GROUPS[group]}", chart, _ranking(comparison, group, entrants)),
        _comment(comparison, group),
        "\n".join(f"- {plain(each.title)}: {each.does}." for each in entrants if each.does),
    ]
    return "\n\n".join(part for part in parts if part)


def _ranking(comparison: Comparison, group: str, entrants: Sequence[Entrant]) -> str:
    reference = _reference(comparison, group)
    name = next(plain(each.title) for each in entrants if each.name == reference)
    rows = [
        (
            *("", "requests/s", f"of {name}", "CPU s per 1,000", "p50 ms", "p99 ms"),
            *("server's CPU", "load's µs"),
        )
    ]
    for entrant in entrants:
        turns = comparison.of(entrant.name)
        errors = sum(turn.errors for turn in turns)
        title = f"{entrant.title} ({errors:,} errors)" if errors else entrant.title
        rows.append(
            (
                title,
                f"{comparison.per_s(entrant.name) or 0:,.0f}",
                f"{comparison.ratio(entrant.name, _other(entrant, reference)) or 0:.2f}",
                f"{(comparison.server_us(entrant.name) or 0) / 1e3:.4f}",
                f"{_middle([turn.p50_us for turn in turns]) / 1e3:.2f}",
                f"{_middle([turn.p99_us for turn in turns]) / 1e3:.2f}",
                f"{comparison.server_busy(entrant.name) or 0:.0%}",
                f"{comparison.load_us(entrant.name) or 0:.1f}",
            )
        )
    return table(rows)


def _comment(comparison: Comparison, group: str) -> str:
    if group == "redirect":
        load_us = comparison.load_us("nginx") or comparison.load_us(OURS) or 0
        return (
            f"wrk itself needs {load_us:.1f} µs for a request to nginx, so that with a processor "
            f"of its own it reaches at most {1e6 / load_us:,.0f} requests/s. What each does for a "
            "request:"
            if load_us
            else ""
        )
    if group == "strict":
        busy = min(
            (comparison.server_busy(each.name) or 0 for each in ranked(comparison, group)),
            default=0,
        )
        return (
            "S3 is an nginx that serves files, on the load's processor. Everybody answers 302 with "
            "a presigned URL where S3 says 200, and 404 where S3 says so. Ours looks at the "
            "object's size and date in each answer as well, which the peers do not. "
            f"All servers have at least {busy:.0%} of their processor: "
            + (
                "neither S3 nor the load is the bottleneck."
                if busy >= 0.95
                else "where that is well below 100 %, S3 and the load are the bottleneck."
            )
            + " What each does for a request:"
        )
    return _bounds(comparison)


def _bounds(comparison: Comparison) -> str:
    """What each pair of workers reached, of what it could where all share the processors."""
    lines = []
    for kind, name in (("", "redirect-hot"), ("-strict", "redirect-strict"), ("-tls", "TLS")):
        found = workers_at_most(comparison, kind)
        reached = comparison.ratio(f"workers-2{kind}", f"workers-1{kind}")
        if found is not None and reached is not None:
            server_us, load_us, most = found
            s3 = ", without what S3 takes" if kind == "-strict" else ""
            lines.append(
                f"- {name}: {server_us:.1f} µs of the server's time and {load_us:.1f} µs of the "
                f"load's{s3}: {most:.2f} times one worker's rate at most; {reached:.2f} reached."
            )
    intro = "Nothing is pinned here: workers, load and S3 share all processors."
    if not lines:
        return intro
    return "\n".join(
        [f"{intro} What a request takes of both leaves two workers, with nothing lost:", "", *lines]
    )


def generators(comparison: Comparison) -> str:
    """Our load generator beside wrk. Empty where they were not compared."""
    entrants = ranked(comparison, "generators")
    apart = comparison.ratio("by-own", "by-wrk")
    if apart is None:
        return ""
    return (
        "## Load generators\n\nThe same server, parparchik with redirect-hot, under wrk and under "
        "our own generator, which checks every Location besides: in turns, each on the load's "
        f"processor. They must agree within {GENERATORS_APART:.0%} and are {abs(1 - apart):.1%} "
        f"apart.\n\n{_ranking(comparison, 'generators', entrants)}"
    )


def latency(comparison: Comparison) -> str:
    if not comparison.latency:
        return ""
    rows: list[tuple[str, ...]] = [
        ("rate/s", "answered/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "errors")
    ]
    rows += [
        (
            *(f"{run.rate_per_s:,.0f}", f"{run.requests / run.seconds:,.0f}"),
            *(f"{ms:.3f}" for ms in (run.p50_ms, run.p99_ms, run.p999_ms, run.max_ms)),
            f"{run.errors:,}",
        )
        for run in comparison.latency
    ]
    return (
        "## Latency at half the maximum rate\n\nOpen loop: a request's time begins when it is due, "
        f"sent or not. Status and Location of every answer are checked.\n\n{table(rows)}"
    )


def single_figures(comparison: Comparison) -> str:
    lines = []
    if probes := comparison.probes:
        lines.append(
            f"- HEAD probes: {probes.per_s:,.0f}/s with {probes.at_once} in flight, "
            f"{probes.cpu_us:.1f} µs of processor time each, p99 {probes.p99_ms:.2f} ms; S3 is "
            "`rclone serve s3 :memory:`."
        )
    if churn := comparison.churn:
        lines.append(
            f"- manifest-churn at {churn.entries:,} entries: {churn.requests:,} redirects, "
            f"{churn.errors:,} errors; p50 {churn.p50_ms:.2f} ms, p99 {churn.p99_ms:.2f} ms, "
            f"p99.9 {churn.p999_ms:.2f} ms, max {churn.max_ms:.2f} ms."
        )
    if memory := comparison.memory:
        lines.append(
            f"- Memory: {memory.first_bytes / MIB:.1f} MiB resident after "
            f"{memory.first_requests:,} requests, {memory.last_bytes / MIB:.1f} MiB after "
            f"{memory.last_requests:,}."
        )
    return "\n".join(["## Single figures", "", *lines]) if lines else ""


def instructions(comparison: Comparison) -> str:
    if not comparison.instructions:
        return ""
    rows = [("", "instructions for a request")]
    rows += [(each.title, f"{each.per_request:,.0f}") for each in comparison.instructions]
    counter = comparison.instructions[0].counter
    return (
        "## Instructions\n\nWhat the server executes in user space, whatever the mood of the "
        f"machine (`python -m bench.instructions`; counted by {counter}).\n\n{table(rows)}"
    )


def ranked(comparison: Comparison, group: str) -> list[Entrant]:
    """Those of a group that were measured, the fastest first."""
    measured = [
        entrant
        for entrant in comparison.entrants
        if entrant.group == group and comparison.per_s(entrant.name)
    ]
    return sorted(measured, key=lambda each: -(comparison.per_s(each.name) or 0))


def _reference(comparison: Comparison, group: str) -> str:
    """With whom the others of a group are compared."""
    if group == "strict":
        return best_of_the_strict(comparison) or STRICTLY
    return {"redirect": "nginx", "workers": "workers-1", "generators": "by-wrk"}[group]


def _other(entrant: Entrant, reference: str) -> str:
    """Two workers are compared with one that does the same."""
    if entrant.group == "workers":
        return entrant.name.replace("workers-2", "workers-1")
    return reference


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def plain(title: str) -> str:
    return title.replace("**", "").replace("`", "")


def table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(rows))


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = rows
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---', *(['---:'] * (len(head) - 1))])}|"
    for row in rest:
        yield f"| {' | '.join(row)} |"
