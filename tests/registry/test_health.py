"""The circuit breaker on its own, with time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parparchik.registry.health import FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, Health


def broken(at_s: float, failures: int = FAILURES_TO_OPEN) -> Health:
    health = Health()
    for _ in range(failures):
        health.failed(at_s, "S3 is away")
    return health


def test_a_few_failures_do_not_open_the_circuit() -> None:
    health = broken(100.0, FAILURES_TO_OPEN - 1)
    assert all(health.admits(100.0) for _ in range(10))
    assert not health.reachable


def test_failures_in_a_row_open_it_and_one_caller_a_pause_may_try() -> None:
    health = broken(100.0)
    assert not health.admits(100.0)
    later = 100.0 + FIRST_PAUSE_S
    assert [health.admits(later) for _ in range(3)] == [True, False, False]


def test_a_success_closes_it() -> None:
    health = broken(100.0)
    health.succeeded()
    assert all(health.admits(100.0) for _ in range(10))
    assert health.reachable
    assert health.last_error == ""


def test_a_refusal_is_an_answer_but_no_good_one() -> None:
    health = broken(100.0)
    health.refused(160.0, "403")
    assert health.admits(160.0)
    assert health.reachable
    assert health.last_error == "403"
    assert health.failing_for_s(161.0) == 61.0


def test_an_outage_lasts_from_the_first_failure_to_the_first_good_answer() -> None:
    health = Health()
    assert health.failing_for_s(1e9) == 0.0
    health.failed(100.0, "away")
    health.failed(200.0, "away")
    assert health.failing_for_s(250.0) == 150.0
    health.succeeded()
    assert health.failing_for_s(1e9) == 0.0


@given(st.integers(FAILURES_TO_OPEN, 10_000), st.floats(0, 1e6))
def test_however_long_it_has_failed_somebody_tries_again_soon(failures: int, at_s: float) -> None:
    health = broken(at_s, failures)
    assert 1 <= health.retry_after_s(at_s) <= LONGEST_PAUSE_S
    assert not health.admits(at_s)
    assert health.admits(at_s + LONGEST_PAUSE_S + 1e-3)
