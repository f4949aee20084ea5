"""What is computed from turns, and that figures survive their file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.compare.figures import load, save
from tests.bench.comparisons import EMPTY, FULL, sample


def test_a_comparison_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    save(FULL, tmp_path / "results" / "x.json")
    assert load(tmp_path / "results" / "x.json") == FULL


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"date": 5}')
    with pytest.raises(msgspec.ValidationError):
        load(tmp_path / "x.json")


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    """A slow round slows both: the medians of each alone would say 1.0 here."""
    turns = [("a", 1, 100), ("b", 1, 50), ("a", 2, 40), ("b", 2, 20), ("a", 3, 50), ("b", 3, 100)]
    comparison = msgspec.structs.replace(EMPTY, samples=[sample(*turn) for turn in turns])
    assert comparison.per_s("a") == comparison.per_s("b") == 50
    assert comparison.ratio("a", "b") == 2


def test_processor_time_is_told_per_request_and_per_processor() -> None:
    comparison = msgspec.structs.replace(EMPTY, samples=[sample("a", 1, 1000, server_cpu_s=9.5)])
    assert comparison.server_us("a") == pytest.approx(950)
    assert comparison.server_busy("a") == pytest.approx(0.95)
    assert comparison.load_us("a") == pytest.approx(500)


def test_who_was_not_measured_has_no_figures() -> None:
    assert EMPTY.per_s("a") is None
    assert EMPTY.ratio("a", "b") is None
    assert FULL.ratio("parparchik", "b") is None
