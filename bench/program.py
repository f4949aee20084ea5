"""`parparchik bench` behind its options: run a scenario, show how it goes, write what it found."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec
import trio

from bench.load import BadPlan, LoadFailed
from bench.local import StartFailed
from bench.report import Bar, Result, Series, bar_chart, percentile_chart, show_number
from bench.scenarios import SCENARIOS, Options

EXPECTED_FAILURES = (BadPlan, LoadFailed, StartFailed)
"""What is the operator's business; the message says what to do. A nursery may have wrapped it."""

_CLEAR_LINE = "\r\x1b[K"


def list_scenarios() -> str:
    width = max(map(len, SCENARIOS))
    return "\n".join(
        f"{one.name:<{width}}  {one.line}{' (--local only)' if one.local_only else ''}"
        for one in SCENARIOS.values()
    )


def run_scenario(name: str, options: Options) -> Result:
    """Raises one of EXPECTED_FAILURES, perhaps in a group; KeyboardInterrupt at SIGTERM and SIGHUP,
    too, when all that was started has been ended."""
    if options.target is not None and SCENARIOS[name].local_only:
        raise BadPlan(f"{name} looks into processes: it runs with --local, not against a target")
    result: Result | None = trio.run(_until_signalled, partial(SCENARIOS[name].run, options))
    if result is None:
        raise KeyboardInterrupt
    return result


async def _until_signalled(run: Callable[[], Awaitable[Result]]) -> Result | None:
    """None where a signal came first."""
    result: Result | None = None

    async with trio.open_nursery() as nursery:

        async def obey(*, task_status: trio.TaskStatus[None]) -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
                task_status.started()
                await anext(signals)
                nursery.cancel_scope.cancel()

        await nursery.start(obey)
        result = await run()
        nursery.cancel_scope.cancel()
    return result


def first_expected(error: BaseException) -> Exception | None:
    """The expected failure in what was raised; None when anything else is in there, too."""
    if isinstance(error, BaseExceptionGroup):
        found = [first_expected(one) for one in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, EXPECTED_FAILURES) else None


def write_json(result: Result, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def write_chart(result: Result, path: Path) -> None:
    """Latencies where there were loads, the figures of the most common unit where there were
    none."""
    if result.runs:
        series = [Series(run.name, run.latency.curve) for run in result.runs]
        svg = percentile_chart(f"{result.scenario}: latency", series)
    else:
        units = [figure.unit for figure in result.figures]
        unit = max(units, key=units.count)
        bars = [
            Bar(one.name.strip(), one.value, f"{show_number(one.value)} {one.unit}", strong=True)
            for one in result.figures
            if one.unit == unit
        ]
        svg = bar_chart(result.scenario, bars)
    path.write_text(svg)


def progress_line(stream: TextIO) -> Callable[[str, int, int], None]:
    """What shows on a terminal how a load goes; on anything else, nothing."""
    if not stream.isatty():
        return lambda _name, _requests, _errors: None
    last: dict[str, tuple[float, int]] = {}

    def show(name: str, requests: int, errors: int) -> None:
        now_s = time.monotonic()
        begun_s, before = last.setdefault(name, (now_s, requests))
        rate = (requests - before) / (now_s - begun_s) if now_s > begun_s else 0.0
        text = f"{name}: {requests:,} requests, {rate:,.0f} a second, {errors:,} errors"
        stream.write(f"{_CLEAR_LINE}{text}\r")
        stream.flush()

    return show


def clear_progress(stream: TextIO) -> None:
    if stream.isatty():
        stream.write(_CLEAR_LINE)
