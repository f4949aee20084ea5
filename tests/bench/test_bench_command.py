"""`parparchik bench` as a process: what it refuses, what it writes, and from a wheel."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench.report import Result
from bench.scenarios import SCENARIOS
from tests.cli.processes import DEADLINE_S

ROOT = Path(__file__).parents[2]
PARTS = ("bench.stand_in", "parparchik serve", "bench.load.child")
SHORT = ("--local", "--requests", "200", "--warm-up", "0", "--connections", "4", "--no-pin")


def bench(
    *arguments: str, cwd: Path | None = None, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run(
        [sys.executable, "-m", "parparchik", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=environ,
    )


def test_it_lists_every_scenario() -> None:
    done = bench("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--target URL or --local"),
        (("redirect-hot",), "--target URL or --local"),
        (("redirect-hot", "--local", "--target", "http://127.0.0.1:1"), "--target URL or --local"),
        (("nothing", "--local"), "nothing"),
        (("redirect-hot", "--target", "http://192.0.2.1"), "--yes-this-is-my-server"),
        (("redirect-hot", "--target", "127.0.0.1:80"), "http://host:port"),
        (("memory", "--target", "http://127.0.0.1:1"), "--local"),
        (("redirect-hot", "--local", "--duration", "100000"), "--duration"),
        (("redirect-hot", "--local", "--set", "NAME"), "NAME=VALUE"),
        (("redirect-cold", "--local", "--wrk"), "wrk"),
        (("redirect-cold", "--local", "--s3", "rclone"), "rclone"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = bench(*arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_server_that_does_not_start_says_why() -> None:
    done = bench("redirect-hot", "--local", "--set", "PARPARCHIK_VERIFY=sometimes")
    assert done.returncode == 1
    assert "PARPARCHIK_VERIFY" in done.stderr


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("redirect-hot", 302),
        ("redirect-cold", 302),
        ("miss-flood", 404),
        ("cached-small", 200),
        ("cached-large", 200),
    ],
)
def test_a_scenario_runs_by_itself(name: str, status: int, tmp_path: Path) -> None:
    json_file, chart = tmp_path / "result.json", tmp_path / "chart.svg"
    done = bench(name, *SHORT, "--json", str(json_file), "--chart", str(chart))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name} " in done.stdout
    result = msgspec.json.decode(json_file.read_bytes(), type=Result)
    [run] = result.runs
    assert (result.scenario, run.requests, run.errors) == (name, 200, {})
    assert run.statuses == {status: 200}
    assert run.server_cpu_s_per_1000 is not None
    assert any("nothing pinned" in note for note in result.notes)
    assert ET.parse(chart).getroot().tag.endswith("svg")


@pytest.mark.parametrize("name", ["dedup-put", "dedup-put-duplicate", "dedup-get"])
def test_a_scenario_of_the_dedup_store_stores_and_reads(name: str, tmp_path: Path) -> None:
    json_file = tmp_path / "result.json"
    done = bench(name, *SHORT, "--json", str(json_file))
    assert (done.returncode, done.stderr) == (0, "")
    result = msgspec.json.decode(json_file.read_bytes(), type=Result)
    [run] = result.runs
    assert (run.requests, run.errors, run.statuses) == (200, {}, {200: 200})


def test_a_list_is_as_long_as_it_was_filled(tmp_path: Path) -> None:
    json_file = tmp_path / "result.json"
    arguments = ("--local", "--requests", "6", "--warm-up", "0", "--entries", "3000", "--no-pin")
    done = bench("dedup-list", *arguments, "--json", str(json_file))
    assert (done.returncode, done.stderr) == (0, "")
    result = msgspec.json.decode(json_file.read_bytes(), type=Result)
    assert (result.runs[0].requests, result.runs[0].errors) == (6, {})
    assert [figure.name for figure in result.figures] == ["lines"]


@pytest.mark.parametrize("name", ["cold-stream", "put-stream"])
def test_a_scenario_about_bytes_counts_them(name: str, tmp_path: Path) -> None:
    json_file = tmp_path / "result.json"
    short = ("--local", "--requests", "3", "--warm-up", "0", "--connections", "2", "--no-pin")
    done = bench(name, *short, "--json", str(json_file))
    assert (done.returncode, done.stderr) == (0, "")
    result = msgspec.json.decode(json_file.read_bytes(), type=Result)
    assert (result.runs[0].requests, result.runs[0].errors) == (3, {})
    rate = next(figure for figure in result.figures if figure.name == "bodies")
    assert (rate.unit, rate.value > 0) == ("MiB/s", True)


def test_wrong_answers_are_a_failure(tmp_path: Path) -> None:
    """The paths name files that the server does not have."""
    paths = tmp_path / "paths"
    paths.write_text("/bench/file-0000001\n/bench/not-there\n")
    done = bench("redirect-hot", *SHORT, "--paths", str(paths))
    assert done.returncode == 1
    assert "redirect-hot: wrong status: 100" in done.stdout


def test_a_target_that_nobody_answers_on_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = bench("redirect-hot", "--target", url, "--requests", "3", "--warm-up", "0")
    assert done.returncode == 1
    assert "connect: 3" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_that_was_started(number: signal.Signals) -> None:
    arguments = ("bench", "redirect-hot", "--local", "--duration", "600", "--no-pin")
    process = subprocess.Popen(
        [sys.executable, "-m", "parparchik", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while len(started := servers_of(process.pid)) < len(PARTS):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it has not started everything"
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 130
        assert [left for pid in started if (left := command_of(pid))] == []
    finally:
        process.kill()
        process.communicate()


def servers_of(pid: int) -> list[int]:
    """Its descendants that last: looking for a library starts others, for a moment."""
    return [one for one in descendants(pid) if any(part in command_of(one) for part in PARTS)]


def command_of(pid: int) -> str:
    """Empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    children: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            children += map(int, file.read_text().split())
    return children + [one for child in children for one in descendants(child)]


def test_it_is_in_the_wheel_and_runs_from_there(tmp_path: Path) -> None:
    """As in the archive: nothing of the source tree can be imported."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    unpacked = tmp_path / "site-packages"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench", "parparchik"}
    for left_out in ("compare", "peers", "results", "RESULTS.md", "instructions.py"):
        assert not (unpacked / "bench" / left_out).exists()
    json_file = tmp_path / "result.json"
    done = bench("redirect-hot", *SHORT, "--json", str(json_file), cwd=tmp_path, path=unpacked)
    assert (done.returncode, done.stderr) == (0, "")
    assert msgspec.json.decode(json_file.read_bytes(), type=Result).runs[0].requests == 200
