"""RESULTS.md: made of figures, all of them, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench.compare import dedup, machine
from bench.compare.bulk import RACES
from bench.compare.document import charts, document, tried
from bench.compare.figures import Comparison, load
from bench.compare.goals import GOALS
from bench.compare.programs import REDIRECT, STRICT, WORKERS
from tests.bench.comparisons import EMPTY, FULL, entrant, sample

BULK = [contestant for race in RACES for contestant in race.contestants]
DEDUP = [contestant for race in dedup.RACES for contestant in race.contestants]
BENCH = Path(__file__).parents[2] / "bench"


def row(text: str, start: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def more(group: str, per_s: Mapping[str, int]) -> Comparison:
    """FULL with more in one of its groups, one turn each."""
    return msgspec.structs.replace(
        FULL,
        entrants=FULL.entrants + [entrant(name, group) for name in per_s],
        samples=FULL.samples + [sample(name, 1, rate) for name, rate in per_s.items()],
    )


def test_every_goal_has_its_row() -> None:
    text = document(FULL, {})
    assert row(text, "redirect-hot against nginx")[1:] == ["0.5×", "0.65×", "0.6×", "met"]
    assert row(text, "HEAD probes")[1:] == ["20,000/s", "", "25,000/s", "met"]
    assert row(text, "manifest-churn")[1:] == ["25 ms", "", "30 ms", "**missed**"]
    assert all(goal.title in text for goal in GOALS)


def test_what_is_missed_says_what_bounds_it_and_what_was_tried() -> None:
    text = document(FULL, {"churn": "Smaller pieces.", "probes": "Not shown: it is reached."})
    [line] = [line for line in text.splitlines() if line.startswith("- **manifest-churn")]
    assert line.endswith("The longest redirect took 40.0 ms. Smaller pieces.")
    assert "Not shown" not in text


def test_the_machine_is_named_with_what_tcp_does() -> None:
    assert "8 GiB, Testian, Linux 6.1.\n" in document(EMPTY, {})
    paced = msgspec.structs.replace(EMPTY.machine, congestion_control="cubic")
    text = document(msgspec.structs.replace(EMPTY, machine=paced), {})
    assert "8 GiB, Testian, Linux 6.1, TCP with cubic.\n" in text


@pytest.mark.parametrize(("name", "count"), [("bbr", 1), ("cubic", 0), (None, 0)])
def test_tcp_that_paces_by_a_guess_is_cautioned_against(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str | None, count: int
) -> None:
    monkeypatch.setattr(machine, "CONGESTION_CONTROL", tmp_path / "control")
    if name is not None:
        (tmp_path / "control").write_text(f"{name}\n")
    assert machine.congestion_control() == (name or "")
    cautions = machine.cautions()
    assert len(cautions) == count
    assert all("tcp_congestion_control=cubic" in caution for caution in cautions)


def test_where_all_is_reached_nothing_is_excused() -> None:
    good = msgspec.structs.replace(
        FULL,
        churn=None,
        samples=[turn for turn in FULL.samples if turn.contestant != "parparchik-strict"],
    )
    assert "missed" not in document(good, {})


def test_contestants_are_ranked_and_compared() -> None:
    text = document(FULL, {})
    assert text.index("| nginx `return 302` |") < text.index("| **parparchik** | 60,000")
    assert row(text, "**parparchik** | 60,000")[2:4] == ["0.60", "0.0167"]
    assert row(text, "**parparchik** | 30,000")[2:4] == ["1.50", "0.0333"]


def test_what_has_no_goal_stands_below_what_it_explains() -> None:
    turns = [*FULL.samples, *(sample("lua-plain", number, 5_000) for number in (1, 2, 3))]
    lines = document(msgspec.structs.replace(FULL, samples=turns), {}).splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("| redirect-strict")]
    assert lines[at + 1] == "| – against nginx + Lua as it is commonly written |  |  | 6× |  |"


def test_each_contestant_is_said_to_do_what_it_does() -> None:
    assert all(each.does for each in (*REDIRECT, *STRICT))
    assert all(each.does for each in BULK)
    assert all(each.does for each in DEDUP)
    does = [msgspec.structs.replace(each, does=f"what {each.name} does") for each in FULL.entrants]
    text = document(msgspec.structs.replace(FULL, entrants=does), {})
    assert "\n- nginx return 302: what nginx does." in text
    assert "\n- lua-socket: what lua-socket does." in text


def test_two_workers_are_held_against_one_that_does_the_same() -> None:
    text = document(more("workers", {"workers-1-tls": 2_000, "workers-2-tls": 3_600}), {})
    assert row(text, "workers-2-tls")[2] == "1.80"
    assert row(text, "workers-2 ")[2] == "1.50"
    assert "1.80 reached" in text


def test_races_about_bytes_are_ranked_by_them() -> None:
    text = document(FULL, {}).partition("## Bytes")[2].partition("## The dedup store")[0]
    small, _, rest = text.partition("### Cached objects of 1 MiB")
    assert row(small, "**parparchik**")[1:5] == ["50,000", "", "0.62", "20.0"]
    assert row(small, "nginx")[3] == "1.00"
    large, _, cold = rest.partition("### Cold stream")
    assert large.index("| nginx `proxy_cache` |") < large.index("| **parparchik** |")
    assert row(large, "**parparchik**")[1:6] == ["1,700", "1,700", "0.85", "588.2", "0.588"]
    assert row(cold, "**parparchik**")[2:4] == ["720", "0.90"]


def test_the_dedup_store_is_held_against_its_peer() -> None:
    text = document(FULL, {}).partition("## The dedup store")[2]
    put, _, rest = text.partition("### GET")
    assert row(put, "**parparchik**")[1:4] == ["2,000", "4.00", "500"]
    assert row(put, "filetracker's own")[2] == "1.00"
    get, _, lists = rest.partition("### List of 20,000 files")
    assert get.index("| **parparchik**") < get.index("| filetracker's own")
    assert row(lists, "**parparchik**")[1:3] == ["1.00", ""]  # the peer was not measured


def test_who_waits_for_the_load_is_said_to() -> None:
    assert "All servers have all of their processor." in document(FULL, {})
    idle = [
        msgspec.structs.replace(turn, server_cpu_s=5.0) if turn.contestant == "nginx-cold" else turn
        for turn in FULL.samples
    ]
    text = document(msgspec.structs.replace(FULL, samples=idle), {})
    assert "is the bound of nginx, no cache." in text


def test_the_two_generators_are_said_to_agree_or_not() -> None:
    text = document(more("generators", {"by-wrk": 60_000, "by-own": 57_000}), {})
    assert "within 15% and are 5.0% apart" in text


def test_errors_are_not_hidden() -> None:
    turns = [*FULL.samples, sample("uvicorn", 4, 20_000, errors=17)]
    assert "uvicorn (17 errors)" in document(msgspec.structs.replace(FULL, samples=turns), {})


def test_a_short_run_is_told_from_a_real_one() -> None:
    short = [turn for turn in FULL.samples if turn.round == 1]
    assert "short run" in document(msgspec.structs.replace(FULL, samples=short), {})
    assert "short run" not in document(FULL, {})


def test_what_was_not_measured_leaves_no_section() -> None:
    text = document(msgspec.structs.replace(EMPTY, notes=["Workers were not measured."]), {})
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Goals", "How it was measured"]
    assert "Workers were not measured." in text
    assert text.count("not measured") == len(GOALS) + 1
    assert charts(EMPTY) == {}


def test_every_picture_is_there_and_is_one() -> None:
    drawn = charts(FULL)
    assert re.findall(r"\(results/([^)]+\.svg)\)", document(FULL, {})) == list(drawn)
    for svg in drawn.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "60,000" in drawn["2026-05-05-redirect.svg"]
    assert "50,000" in drawn["2026-05-05-bulk-small.svg"]
    assert "720" in drawn["2026-05-05-bulk-cold.svg"]
    assert "12,000" in drawn["2026-05-05-dedup-get.svg"]


def test_only_our_own_bar_stands_out() -> None:
    bars = ElementTree.fromstring(charts(FULL)["2026-05-05-redirect.svg"]).iter(
        "{http://www.w3.org/2000/svg}rect"
    )
    assert len({bar.get("fill") for bar in bars} - {None}) == 2
    [ours] = [e for e in FULL.entrants if e.group == "redirect" and "**" in e.title]
    assert ours.name == "parparchik"


def test_every_title_fits_its_chart() -> None:
    """280 pixels, at some seven a letter."""
    titles = [each.title for each in (*REDIRECT, *STRICT, *WORKERS)]
    titles += [each.title for each in BULK] + [each.title for each in DEDUP]
    assert max(len(title.strip("*")) for title in titles) <= 36


def test_what_was_tried_belongs_to_goals() -> None:
    assert tried().keys() <= {goal.name for goal in GOALS}


@pytest.mark.skipif(not (BENCH / "RESULTS.md").exists(), reason="nothing was measured yet")
def test_the_document_in_the_tree_is_what_its_figures_say() -> None:
    text = (BENCH / "RESULTS.md").read_text()
    found = re.search(r"\(results/([\d-]+)\.json\)", text)
    assert found is not None
    comparison = load(BENCH / "results" / f"{found[1]}.json")
    assert text == document(comparison, tried())
    for name, svg in charts(comparison).items():
        assert (BENCH / "results" / name).read_text() == svg
