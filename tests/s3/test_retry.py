"""Retries: how often, after which pause, for how long, and when no more."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Denied, Overloaded, Unavailable
from parparchik.s3.retry import (
    BUDGET_MAX,
    RETRY_AFTER_MAX_S,
    RETRY_COST,
    Retrier,
    RetryBudget,
    Transient,
)


class Attempts:
    """Fails with the given errors in turn, then returns; notes when it was called."""

    def __init__(self, *errors: Exception, takes_s: float = 0) -> None:
        self.errors = list(errors)
        self.takes_s = takes_s
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    @property
    def pauses(self) -> list[float]:
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


def retrier(retries: int = 3, *, budget: RetryBudget | None = None, draw: float = 1.0) -> Retrier:
    return Retrier(retries, budget or RetryBudget(), uniform=lambda: draw)


async def run(
    attempt: Callable[[], Awaitable[str]],
    retries: int = 3,
    *,
    total_s: float = 60,
    attempt_s: float = math.inf,
    draw: float = 1.0,
) -> str:
    return await retrier(retries, draw=draw).run(attempt, total_s=total_s, attempt_s=attempt_s)


async def test_success_needs_one_attempt(autojump_clock: MockClock) -> None:
    attempt = Attempts()
    assert await run(attempt) == "done"
    assert len(attempt.times) == 1


async def test_transient_failures_are_tried_again(autojump_clock: MockClock) -> None:
    attempt = Attempts(Transient("1"), Transient("2"))
    assert await run(attempt) == "done"
    assert len(attempt.times) == 3


@pytest.mark.parametrize("retries", [0, 1, 4])
async def test_the_last_failure_is_raised(autojump_clock: MockClock, retries: int) -> None:
    attempt = Attempts(*[Transient(str(n)) for n in range(9)])
    with pytest.raises(Transient, match=str(retries)):
        await run(attempt, retries)
    assert len(attempt.times) == retries + 1


@pytest.mark.parametrize("error", [Denied("no"), Overloaded("full"), ZeroDivisionError()])
async def test_nothing_else_is_tried_again(error: Exception) -> None:
    attempt = Attempts(error)
    with pytest.raises(type(error)):
        await run(attempt)
    assert len(attempt.times) == 1


async def test_pauses_grow_up_to_a_bound(autojump_clock: MockClock) -> None:
    attempt = Attempts(*[Transient("") for _ in range(9)])
    await run(attempt, 9)
    assert attempt.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


async def test_pauses_are_drawn_from_all_of_it(autojump_clock: MockClock) -> None:
    for draw in (0.0, 0.5):
        attempt = Attempts(*[Transient("") for _ in range(3)])
        await run(attempt, draw=draw)
        assert attempt.pauses == pytest.approx([0.1 * draw, 0.2 * draw, 0.4 * draw])


async def test_retry_after_is_waited_for(autojump_clock: MockClock) -> None:
    attempt = Attempts(Transient("", retry_after_s=7), Transient("", retry_after_s=0))
    await run(attempt)
    assert attempt.pauses == pytest.approx([7, 0.2])


async def test_retry_after_has_a_bound(autojump_clock: MockClock) -> None:
    attempt = Attempts(Transient("", retry_after_s=3600))
    await run(attempt)
    assert attempt.pauses == pytest.approx([RETRY_AFTER_MAX_S])


async def test_no_waiting_for_what_lies_beyond_the_end(autojump_clock: MockClock) -> None:
    attempt = Attempts(Transient("", retry_after_s=9))
    started = trio.current_time()
    with pytest.raises(Unavailable) as caught:
        await run(attempt, total_s=5)
    assert caught.value.retry_after_s == 9
    assert trio.current_time() == started


async def test_total_time_bounds_one_attempt(autojump_clock: MockClock) -> None:
    started = trio.current_time()
    with pytest.raises(Unavailable, match="within 5 s"):
        await run(Attempts(takes_s=math.inf), total_s=5)
    assert trio.current_time() - started == pytest.approx(5)


async def test_total_time_bounds_all_attempts(autojump_clock: MockClock) -> None:
    attempt = Attempts(*[Transient("") for _ in range(9)], takes_s=2)
    started = trio.current_time()
    with pytest.raises(Unavailable):
        await run(attempt, 9, total_s=5, draw=0)
    assert trio.current_time() - started == pytest.approx(5)
    assert len(attempt.times) == 3


async def test_an_attempt_that_hangs_leaves_time_for_another(autojump_clock: MockClock) -> None:
    hung = True

    async def attempt() -> str:
        nonlocal hung
        if hung:
            hung = False
            await trio.sleep_forever()
        return "done"

    assert await run(attempt, total_s=5, attempt_s=2) == "done"


async def test_cancellation_is_not_a_failure(autojump_clock: MockClock) -> None:
    attempt = Attempts(takes_s=math.inf)
    with trio.move_on_after(1) as scope:
        await run(attempt)
    assert scope.cancelled_caught
    assert len(attempt.times) == 1


async def test_retries_are_counted(autojump_clock: MockClock) -> None:
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    attempt = Attempts(Transient(""), Transient(""))
    await retrier().run(attempt, total_s=60, on_retry=count)
    assert counted == 2


async def test_an_outage_is_not_multiplied(autojump_clock: MockClock) -> None:
    """With the budget spent, everything is tried once."""
    shared = retrier(3, budget=RetryBudget(), draw=0)
    asked = 0

    async def fail() -> str:
        nonlocal asked
        asked += 1
        raise Transient("down")

    for _ in range(1000):
        with pytest.raises(Transient):
            await shared.run(fail, total_s=60)
    assert asked == 1000 + BUDGET_MAX // RETRY_COST


async def test_successes_earn_retries(autojump_clock: MockClock) -> None:
    budget = RetryBudget()
    while budget.spend():
        pass
    shared = retrier(3, budget=budget, draw=0)
    with pytest.raises(Transient):
        await shared.run(Attempts(Transient("")), total_s=60)
    for _ in range(RETRY_COST):
        await shared.run(Attempts(), total_s=60)
    attempt = Attempts(Transient(""))
    assert await shared.run(attempt, total_s=60) == "done"
    assert len(attempt.times) == 2


def test_the_budget_is_bounded() -> None:
    budget = RetryBudget()
    for _ in range(10 * BUDGET_MAX):
        budget.refund()
    spent = 0
    while budget.spend():
        spent += 1
    assert spent == BUDGET_MAX // RETRY_COST
