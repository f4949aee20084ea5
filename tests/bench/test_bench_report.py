"""What is written: JSON by its schema, SVG that is XML, tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench.load import Cycle, Histogram, Outcome, Plan, Target
from bench.program import write_chart, write_json
from bench.report import (
    Bar,
    Figure,
    Result,
    Series,
    bar_chart,
    percentile_chart,
    run_of,
    show_result,
    this_machine,
)

SVG = "{http://www.w3.org/2000/svg}"


def result(*, runs: bool = True) -> Result:
    latency = Histogram()
    for ms in range(1, 1001):
        latency.record(ms * 1_000_000)
    outcome = Outcome(1000, 2.0, 0.5, latency, Counter({"reset": 3}), Counter({302: 1000}))
    plan = Plan(Target("127.0.0.1", 80), Cycle(()), rate_per_s=500)
    run = run_of("hot & cold", plan, outcome, by_wrk=False, server_cpu_s=0.25)
    return Result(
        scenario="redirect-hot",
        started="2026-01-01T00:00:00+00:00",
        target="http://127.0.0.1",
        machine=this_machine(),
        notes=["a note"],
        runs=[run] if runs else [],
        figures=[
            Figure("growth", 6.0, "MiB", 5.0),
            Figure("ratio", 1.5, "", 1.4, at_least=True),
            Figure("time", 0.25, "s"),
        ],
    )


def test_the_json_is_of_the_schema_and_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_json(result(), file)
    assert msgspec.json.decode(file.read_bytes(), type=Result) == result()
    run = msgspec.json.decode(file.read_bytes())["runs"][0]
    assert run["loop"] == "open"
    assert run["errors"] == {"reset": 3}
    assert run["requests_per_s"] == 500
    assert run["server_cpu_s_per_1000"] == pytest.approx(0.25)
    assert run["latency"]["p99_ms"] == pytest.approx(990, rel=1 / 128)
    assert run["latency"]["max_ms"] == 1000


def test_a_curve_goes_as_far_as_there_are_requests_to_tell() -> None:
    percents = [percent for percent, _ in result().runs[0].latency.curve]
    assert percents == sorted(percents)
    assert 99.8 < percents[-1] <= 99.9


def test_goals_are_met_or_missed() -> None:
    assert [figure.met for figure in result().figures] == [False, True, None]
    assert "missed" in show_result(result())


def test_the_table_names_errors_by_kind() -> None:
    shown = show_result(result())
    assert "hot & cold: reset: 3" in shown
    assert "0.2500" in shown


@pytest.mark.parametrize("runs", [True, False])
def test_a_chart_is_sound_svg(tmp_path: Path, runs: bool) -> None:
    file = tmp_path / "chart.svg"
    write_chart(result(runs=runs), file)
    root = ET.fromstring(file.read_text())
    assert root.tag == f"{SVG}svg"
    drawn = "polyline" if runs else "rect"
    assert root.find(f".//{SVG}{drawn}") is not None


def test_a_chart_keeps_within_its_page() -> None:
    svg = percentile_chart(
        "<all>", [Series("a", [(0, 0.001), (99.99, 3.0), (100, 70_000.0)]), Series("none", [])]
    )
    root = ET.fromstring(svg)
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    assert root.find(f"{SVG}title") is not None


def test_bars_are_as_long_as_their_values() -> None:
    root = ET.fromstring(bar_chart("t", [Bar("a", 50), Bar("b", 100, "a hundred", strong=True)]))
    widths = [
        float(rect.attrib["width"]) for rect in root.iter(f"{SVG}rect") if "rx" in rect.attrib
    ][1:]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert "a hundred" in [text.text for text in root.iter(f"{SVG}text")]
