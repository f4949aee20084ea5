"""Background tasks that crash, on a clock that jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

from parparchik.errors import Denied
from parparchik.server.supervise import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor

if TYPE_CHECKING:
    from tests.server.conftest import Logged


class Flaky:
    """Crashes when told to; notes when it was started."""

    def __init__(self, *crashes: BaseException | None) -> None:
        self.crashes = list(crashes)
        self.began: list[float] = []
        self.after_s = 0.0

    async def __call__(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.began.append(trio.current_time())
        crash = self.crashes.pop(0) if self.crashes else None
        if crash is None:
            task_status.started()
            await trio.sleep_forever()
        await trio.sleep(self.after_s)
        raise crash

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.began, self.began[1:], strict=False)]


async def test_a_crash_is_logged_counted_and_mended(
    autojump_clock: MockClock, logged: Logged, nursery: trio.Nursery
) -> None:
    supervisor = Supervisor()
    task = Flaky(ValueError("private detail"))
    nursery.start_soon(supervisor.run, "writer", task)
    await trio.testing.wait_all_tasks_blocked()
    assert supervisor.down == "writer is down: ValueError"
    (crash,) = logged.named("background task crashed")
    assert crash["task"] == "writer"
    assert "ValueError: private detail" in crash["exception"]
    await trio.sleep(FIRST_PAUSE_S * 2)
    assert supervisor.down is None
    assert supervisor.restarts() == (("writer", 1),)


async def test_errors_of_ours_give_their_reason(
    autojump_clock: MockClock, logged: Logged, nursery: trio.Nursery
) -> None:
    supervisor = Supervisor()
    error = Denied("grant s3:ListBucket")
    nursery.start_soon(supervisor.run, "a", Flaky(ExceptionGroup("", [error])))
    nursery.start_soon(supervisor.run, "b", Flaky(KeyError("x")))
    await trio.testing.wait_all_tasks_blocked()
    assert supervisor.down is not None
    assert set(supervisor.down.split("; ")) == {
        "a is down: grant s3:ListBucket",
        "b is down: KeyError",
    }


async def test_the_pause_doubles_up_to_a_limit(
    autojump_clock: MockClock, logged: Logged, nursery: trio.Nursery
) -> None:
    task = Flaky(*[ValueError()] * 9)
    nursery.start_soon(Supervisor().run, "t", task)
    await trio.sleep(500)
    assert task.gaps() == [min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S) for attempt in range(9)]


async def test_a_long_life_makes_the_next_pause_short_again(
    autojump_clock: MockClock, logged: Logged, nursery: trio.Nursery
) -> None:
    task = Flaky(*[ValueError()] * 3)
    task.after_s = LONGEST_PAUSE_S + 1
    nursery.start_soon(Supervisor().run, "t", task)
    await trio.sleep(500)
    assert task.gaps() == [task.after_s + FIRST_PAUSE_S] * 3


async def test_a_task_that_is_down_for_long_stays_down_until_it_says_started(
    autojump_clock: MockClock, logged: Logged, nursery: trio.Nursery
) -> None:
    supervisor = Supervisor()
    task = Flaky(ValueError(), ValueError())
    task.after_s = 5
    nursery.start_soon(supervisor.run, "t", task)
    await trio.sleep(5 + FIRST_PAUSE_S + 1)  # running again, but not yet started
    assert supervisor.down is not None
    await trio.sleep(20)
    assert supervisor.down is None


async def test_a_task_that_returns_is_done(autojump_clock: MockClock, logged: Logged) -> None:
    async def once(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(1)

    supervisor = Supervisor()
    await supervisor.run("once", once)
    assert supervisor.down is None
    assert supervisor.restarts() == (("once", 0),)
    assert logged.events == []


async def test_cancellation_passes(autojump_clock: MockClock, logged: Logged) -> None:
    supervisor = Supervisor()
    with trio.move_on_after(1) as scope:
        await supervisor.run("t", Flaky())
    assert scope.cancelled_caught
    assert supervisor.down is None
    assert logged.events == []


async def test_a_crash_during_cancellation_is_logged_and_cancellation_passes(
    autojump_clock: MockClock,
    logged: Logged,
) -> None:
    async def bad_end(*, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while ending")

    supervisor = Supervisor()
    with trio.move_on_after(1) as scope:
        await supervisor.run("t", bad_end)
    assert scope.cancelled_caught
    assert len(logged.named("background task crashed")) == 1
    assert supervisor.restarts() == (("t", 0),)
