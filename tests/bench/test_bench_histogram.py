"""The histogram against the exact percentiles of the same values."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bench.load.histogram import MAX_NS, Histogram, bucket_of, highest_in

VALUES = st.lists(st.integers(0, MAX_NS) | st.integers(0, 5_000_000), min_size=1, max_size=300)


def recorded(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(VALUES, st.sampled_from([0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0]))
def test_a_percentile_is_at_most_a_128th_above_the_exact_one(
    values: list[int], percent: float
) -> None:
    ordered = sorted(values)
    exact = ordered[max(math.ceil(round(len(ordered) * percent / 100, 6)), 1) - 1]
    assert exact <= recorded(values).percentile(percent) <= exact + exact / 128


@given(VALUES)
def test_count_mean_and_maximum_are_exact(values: list[int]) -> None:
    histogram = recorded(values)
    assert histogram.count == len(values)
    assert histogram.max_ns == max(values)
    assert math.isclose(histogram.mean_ns, sum(values) / len(values))


@given(VALUES, VALUES)
def test_two_merged_are_one_of_all_values(some: list[int], others: list[int]) -> None:
    merged = recorded(some)
    merged.merge(recorded(others))
    assert merged.counts == recorded(some + others).counts
    assert (merged.max_ns, merged.total_ns) == (max(some + others), sum(some + others))


@given(VALUES)
def test_it_travels(values: list[int]) -> None:
    sent = recorded(values)
    arrived = Histogram.of(sent.nonzero(), max_ns=sent.max_ns, total_ns=sent.total_ns)
    assert arrived.counts == sent.counts


@given(st.integers(0, MAX_NS))
def test_a_value_lies_in_its_bucket(value: int) -> None:
    bucket = bucket_of(value)
    lowest = 0 if bucket == 0 else highest_in(bucket - 1) + 1
    assert lowest <= value <= highest_in(bucket)
    assert bucket < len(Histogram().counts)


def test_what_is_longer_than_the_longest_counts_as_that() -> None:
    assert recorded([MAX_NS * 4]).percentile(50) == MAX_NS


def test_an_empty_one_has_no_percentiles() -> None:
    assert (Histogram().percentile(99), Histogram().mean_ns) == (0, 0.0)


def test_points_of_another_tool_become_a_histogram() -> None:
    found = Histogram.of_percentiles([(50, 1_000_000), (99, 3_000_000), (100, 9_000_000)], 1000)
    assert found.count == 1000
    for percent, value in ((50, 1_000_000), (99, 3_000_000), (100, 9_000_000)):
        assert value <= found.percentile(percent) <= value * (1 + 1 / 128)
