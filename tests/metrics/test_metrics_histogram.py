"""The counters of the hot path."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from parparchik.metrics import Histogram, Traffic

BOUNDS = (0.1, 1.0, 10.0)


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_every_observation_is_counted_under_each_bound_that_it_does_not_exceed(
    values: list[float],
) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    snapshot = histogram.snapshot()
    expected = [sum(value <= bound for value in values) for bound in (*BOUNDS, math.inf)]
    assert list(snapshot.cumulative) == expected
    assert math.isclose(snapshot.total, math.fsum(values), abs_tol=1e-6)


def test_a_bound_is_inclusive() -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(1.0)
    assert histogram.snapshot().cumulative == (0, 1, 1, 1)


def test_a_snapshot_does_not_change() -> None:
    histogram = Histogram(BOUNDS)
    before = histogram.snapshot()
    histogram.observe(0.5)
    assert before.cumulative == (0, 0, 0, 0)


def test_traffic_by_kind_and_status_with_redirects_timed() -> None:
    traffic = Traffic()
    for kind, status in [("bucket", 302), ("bucket", 302), ("bucket", 404), ("list", 200)]:
        traffic.counter(kind, status).add(0.01)
    assert traffic.requests() == (("bucket", 302, 2), ("bucket", 404, 1), ("list", 200, 1))
    assert traffic.redirect_seconds.snapshot().cumulative[-1] == 2
