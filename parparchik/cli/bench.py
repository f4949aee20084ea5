"""`parparchik bench`: load tests, of a server of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from bench.load import Target
from bench.local import share_out
from bench.program import (
    EXPECTED_FAILURES,
    clear_progress,
    first_expected,
    list_scenarios,
    progress_line,
    run_scenario,
    write_chart,
    write_json,
)
from bench.report import show_result
from bench.scenarios import SCENARIOS, Options
from parparchik.cli.failures import FAILED, MISCONFIGURED, OK, CommandError

_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("name", required=False, type=click.Choice(list(SCENARIOS)), metavar="[NAME]")
@click.option("--list", "list_only", is_flag=True, help="Name the scenarios, a line each.")
@click.option("--target", metavar="URL", help="The server to fire at: http(s)://host:port.")
@click.option("--local", is_flag=True, help="Start server and S3 here, for this.")
@click.option("--connections", type=click.IntRange(1, 10_000), help="Default: 32.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="That make the load.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second (open loop: latency counts from when each was due).",
)
@click.option("--no-keep-alive", is_flag=True, help="A new connection for each request.")
@click.option("--duration", type=click.FloatRange(0, 3600, min_open=True), help="Seconds.")
@click.option("--requests", type=click.IntRange(1, 100_000_000), help="End after so many.")
@click.option(
    "--warm-up",
    type=click.FloatRange(0, 600),
    default=1.0,
    show_default=True,
    help="Seconds that do not count.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for an answer.",
)
@click.option("--wrk", is_flag=True, help="Let wrk make the load, where it is installed.")
@click.option(
    "--s3",
    type=click.Choice(["own", "rclone"]),
    default="own",
    show_default=True,
    help="With --local: what stands behind.",
)
@click.option(
    "--entries",
    type=click.IntRange(2, 1_000_000),
    help="Of registry and start-up; files of dedup-list.",
)
@click.option("--paths", type=_EXISTING, help="File of paths to ask for, one a line.")
@click.option("--ca", type=_EXISTING, help="PEM file with the certificates to trust.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --local: a setting of the server, by its variable.",
)
@click.option("--no-pin", is_flag=True, help="With --local: no processors of their own.")
@click.option("--json", "json_file", type=_FILE, help="Write the result to this file.")
@click.option("--chart", type=_FILE, help="Write a chart to this file (SVG).")
@click.option(
    "--yes-this-is-my-server", is_flag=True, help="Fire at a target that is another machine."
)
def bench(
    *,
    name: str | None,
    list_only: bool,
    target: str | None,
    local: bool,
    connections: int | None,
    processes: int,
    rate: float | None,
    no_keep_alive: bool,
    duration: float | None,
    requests: int | None,
    warm_up: float,
    timeout: float,
    wrk: bool,
    s3: Literal["own", "rclone"],
    entries: int | None,
    paths: Path | None,
    ca: Path | None,
    settings: tuple[str, ...],
    no_pin: bool,
    json_file: Path | None,
    chart: Path | None,
    yes_this_is_my_server: bool,
) -> int:
    """Fire a load at a server and say how it did; --list names the scenarios.

    Either --target, a server of yours that is running, or --local, which starts one for this with
    an S3 behind. Every answer is checked: status and Location.
    """
    if list_only:
        click.echo(list_scenarios())
        return OK
    if name is None or (target is None) is not local:
        raise click.UsageError("give a scenario (see --list), and either --target URL or --local")
    try:
        options = Options(
            target=_target(target, ca, anywhere=yes_this_is_my_server),
            connections=connections,
            processes=processes,
            rate_per_s=rate,
            keep_alive=not no_keep_alive,
            duration_s=duration,
            requests=requests,
            warm_up_s=warm_up,
            timeout_s=timeout,
            wrk=wrk,
            s3=s3,
            entries=entries,
            paths=tuple(paths.read_text().split()) if paths else (),
            settings=tuple(_setting(one) for one in settings),
            processors=share_out(pin=local and not no_pin),
            on_progress=progress_line(sys.stderr),
        )
        result = run_scenario(name, options)
    except Exception as error:
        expected = first_expected(error)
        if expected is None:
            raise
        code = MISCONFIGURED if isinstance(expected, EXPECTED_FAILURES[0]) else FAILED
        raise CommandError(str(expected), code) from error
    finally:
        clear_progress(sys.stderr)
    click.echo(show_result(result))
    if json_file:
        write_json(result, json_file)
    if chart:
        write_chart(result, chart)
    # A missed goal is a finding, on a busy machine not even that; a wrong answer is a failure.
    return FAILED if any(run.errors for run in result.runs) else OK


def _target(url: str | None, ca: Path | None, *, anywhere: bool) -> Target | None:
    """Raises CommandError for what is not this machine, unless that is said to be meant."""
    if url is None:
        return None
    target = Target.of(url, trusted=ca)
    if not (target.is_loopback or anywhere):
        raise CommandError(
            f"{target.host} is not this machine: a load test is an attack on whoever has not asked"
            " for it (--yes-this-is-my-server)",
            MISCONFIGURED,
        )
    return target


def _setting(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--set {given}: give NAME=VALUE")
    return name, value
