"""A time limit is a cancel scope from the moment that it is begun, and nothing before."""

from __future__ import annotations

import pytest
import trio

from parparchik.s3.limit import UNLIMITED, TimeLimit


async def test_begun_it_cancels(autojump_clock: trio.abc.Clock) -> None:
    began_s = trio.current_time()
    limit = TimeLimit(began_s + 10)
    with limit:
        await trio.sleep(5)
        for _ in range(2):
            limit.begin()
        await trio.sleep_forever()
    assert trio.current_time() == began_s + 10


async def test_begun_too_late_it_cancels_at_once(autojump_clock: trio.abc.Clock) -> None:
    began_s = trio.current_time()
    limit = TimeLimit(began_s + 10)
    with limit:
        await trio.sleep(20)
        limit.begin()
        await trio.sleep_forever()
    assert trio.current_time() == began_s + 20


async def test_not_begun_it_does_nothing(autojump_clock: trio.abc.Clock) -> None:
    done = False
    with TimeLimit(trio.current_time() + 10):
        await trio.sleep(20)
        done = True
    assert done


async def test_it_can_be_used_again(autojump_clock: trio.abc.Clock) -> None:
    limit = TimeLimit()
    for _ in range(2):
        began_s = limit.deadline_s = trio.current_time()
        limit.deadline_s += 10
        with limit:
            limit.begin()
            await trio.sleep_forever()
        assert trio.current_time() == began_s + 10


async def test_without_a_deadline_it_may_be_shared(autojump_clock: trio.abc.Clock) -> None:
    done = 0
    for _ in range(2):
        with UNLIMITED:
            UNLIMITED.begin()
            await trio.sleep(10_000)
            done += 1
    assert done == 2


@pytest.mark.parametrize("begun", [False, True])
async def test_errors_and_other_cancellations_pass(
    autojump_clock: trio.abc.Clock, begun: bool
) -> None:
    limit = TimeLimit(trio.current_time() + 10)

    def begin() -> None:
        if begun:
            limit.begin()

    def fail() -> None:
        begin()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), limit:
        fail()
    with trio.move_on_after(5) as outer:
        with limit:
            begin()
            await trio.sleep_forever()
        pytest.fail("who is outside was cancelled")
    assert outer.cancelled_caught
