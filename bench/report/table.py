"""Results as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.result import Figure, Result, Run

_HEADINGS = (
    *("", "requests", "per second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"),
    *("errors", "CPU s/1,000"),
)


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first of them headings; all columns but the first are numbers."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def show_number(value: float) -> str:
    """With as many digits as anybody wants to read."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def show_result(result: Result) -> str:
    """All of a result but what only machines read."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    machine = result.machine
    yield f"{result.scenario} against {result.target}"
    yield f"{machine.processors} processors, {machine.processor}; Python {machine.python}"
    yield from result.notes
    if result.runs:
        yield ""
        yield render_table([_HEADINGS, *(_row(run) for run in result.runs)])
        for run in result.runs:
            if run.errors:
                kinds = ", ".join(f"{kind}: {count:,}" for kind, count in run.errors.items())
                yield f"{run.name}: {kinds}"
    if result.figures:
        yield ""
        yield render_table([("", "measured", "unit", "goal", ""), *map(_figure, result.figures)])


def _row(run: Run) -> tuple[str, ...]:
    latency, cpu_s = run.latency, run.server_cpu_s_per_1000
    times = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p99_9_ms, latency.max_ms)
    return (
        run.name,
        f"{run.requests:,}",
        f"{run.requests_per_s:,.0f}",
        *(f"{ms:.3f}" for ms in times),
        f"{sum(run.errors.values()):,}",
        "" if cpu_s is None else f"{cpu_s:.4f}",
    )


def _figure(figure: Figure) -> tuple[str, ...]:
    goal = ""
    if figure.goal is not None:
        goal = f"{'>=' if figure.at_least else '<='} {figure.goal:,g}"
    met = {None: "", True: "met", False: "missed"}[figure.met]
    return (figure.name, show_number(figure.value), figure.unit, goal, met)
