"""The table of what has to be reached, held against figures."""

from __future__ import annotations

import msgspec
import pytest

from bench.compare.goals import GOALS, best_of_the_strict
from tests.bench.comparisons import EMPTY, FULL, MIB, sample

BY_NAME = {goal.name: goal for goal in GOALS}


@pytest.mark.parametrize(
    ("name", "reached", "met"),
    [
        ("hot-nginx", 0.6, True),
        ("hot-uvicorn", 3.0, True),
        ("strict", 1.5, False),
        ("latency", 0.5, True),
        ("probes", 25_000, True),
        ("churn", 30.0, False),
        ("memory", 1.0, True),
        ("workers", 1.5, True),
        ("cached-small", 0.625, True),
        ("cached-large", 0.85, True),
        ("cold", 0.9, True),
        ("dedup-put", 4.0, True),
        ("dedup-get", 3.0, True),
    ],
)
def test_each_figure_is_found_and_judged(name: str, reached: float, met: bool) -> None:
    assert BY_NAME[name].reached(FULL) == pytest.approx(reached)
    assert BY_NAME[name].met(FULL) is met


def test_these_are_all_goals() -> None:
    assert len(BY_NAME) == len(GOALS) == 13


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_not_measured_is_neither_reached_nor_missed(name: str) -> None:
    assert BY_NAME[name].reached(EMPTY) is None
    assert BY_NAME[name].met(EMPTY) is None


def test_strict_is_held_against_the_fastest_of_those_that_do_the_same() -> None:
    assert best_of_the_strict(FULL) == "lua-socket"
    faster = [sample("lua-subrequest", number, 25_000) for number in (1, 2, 3)]
    more = msgspec.structs.replace(FULL, samples=FULL.samples + faster)
    assert best_of_the_strict(more) == "lua-subrequest"
    assert BY_NAME["strict"].reached(more) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("goal", "beside"),
    [("strict", [6.0]), ("workers", [None, 1.8]), ("memory", []), ("cold", [None, 0.5])],
)
def test_what_helps_to_judge_a_goal_stands_beside_it(goal: str, beside: list[float | None]) -> None:
    more = [
        sample(name, number, per_s)
        for number in (1, 2, 3)
        for name, per_s in {
            "lua-plain": 5_000,
            "workers-1-tls": 2_000,
            "workers-2-tls": 3_600,
        }.items()
    ]
    more += [
        sample(name, 1, per_s, body_bytes=MIB)
        for name, per_s in (("ours-put", 30), ("nginx-put", 60))
    ]
    comparison = msgspec.structs.replace(FULL, samples=FULL.samples + more)
    assert [one.reached(comparison) for one in BY_NAME[goal].beside] == beside


def test_a_server_that_has_all_of_its_processor_is_bound_by_it() -> None:
    assert "has all of its processor" in BY_NAME["hot-nginx"].bound(FULL)


def test_a_server_that_waits_for_its_load_is_not_the_bound() -> None:
    idle = [
        msgspec.structs.replace(turn, server_cpu_s=6.0) if turn.contestant == "parparchik" else turn
        for turn in FULL.samples
    ]
    said = BY_NAME["hot-nginx"].bound(msgspec.structs.replace(FULL, samples=idle))
    assert "60% of its processor only" in said


def test_what_bounds_a_race_about_bytes_is_told_by_the_mebibyte() -> None:
    said = BY_NAME["cached-large"].bound(FULL)
    assert "has all of its processor" in said
    assert "A MiB takes 588 µs of its processor time, and 500 µs of the peer's." in said
    idle = [
        msgspec.structs.replace(turn, server_cpu_s=5.0) if turn.contestant == "ours-large" else turn
        for turn in FULL.samples
    ]
    said = BY_NAME["cached-large"].bound(msgspec.structs.replace(FULL, samples=idle))
    assert "50% of its processor: it waits" in said


def test_two_workers_cannot_be_faster_than_what_the_load_leaves_them() -> None:
    """Each second has two of processor time; a request takes 16.7 us of the server's and 8.3 us of
    the load's: 80,000 a second, and one worker made 60,000."""
    assert "1.33 would be reached" in BY_NAME["workers"].bound(FULL)


def test_an_open_loop_that_fell_behind_says_so() -> None:
    late = [msgspec.structs.replace(FULL.latency[0], requests=200_000)]
    said = BY_NAME["latency"].bound(msgspec.structs.replace(FULL, latency=late))
    assert "rate was not kept" in said
