"""The load as processes, and as wrk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bench.load import Ask, BadPlan, Counting, Cycle, Expected, Family, Plan, Target, fire, fire_wrk
from bench.stand_in import BucketSpec, StandIn, key_of

DECK = Cycle(tuple(Ask(f"/bench/{key_of(n)}", Expected(200)) for n in range(20)))


class Heard:
    def __init__(self) -> None:
        self.begun = 0
        self.last = (0, 0)

    def measuring(self) -> None:
        self.begun += 1

    def progress(self, requests: int, errors: int) -> None:
        self.last = (requests, errors)


@asynccontextmanager
async def served() -> AsyncIterator[Target]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandIn([BucketSpec("bench", 10)]).serve, listener)
            yield Target("127.0.0.1", listener.getsockname()[1])
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("processes", [1, 2])
async def test_processes_share_a_plan_and_their_outcomes_add_up(processes: int) -> None:
    """Half of the keys are not there."""
    heard = Heard()
    async with served() as target:
        plan = Plan(target, DECK, processes=processes, requests=400, duration_s=60, warm_up_s=0)
        outcome = await fire(plan, heard)
    assert (outcome.requests, outcome.errors) == (200, {"wrong status": 200})
    assert outcome.statuses == {200: 200, 404: 200}
    assert outcome.latency.count == 200
    assert heard.begun == 1


async def test_progress_is_told_while_it_runs() -> None:
    heard = Heard()
    async with served() as target:
        outcome = await fire(Plan(target, DECK, duration_s=0.8, warm_up_s=0.1), heard)
    assert 0 < heard.last[0] <= outcome.requests
    assert heard.last[1] > 0


async def test_one_that_is_given_up_leaves_no_process_behind() -> None:
    async with served() as target:
        with trio.move_on_after(1.0) as scope:
            await fire(Plan(target, DECK, duration_s=60))
    assert scope.cancelled_caught


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_wrk_tells_the_same(keep_alive: bool) -> None:
    heard = Heard()
    async with served() as target:
        plan = Plan(target, DECK, duration_s=1.0, warm_up_s=0.0, keep_alive=keep_alive)
        outcome = await fire_wrk(plan, heard)
    assert outcome.requests > 0
    # The found and the missing come in turns of ten, and 32 may be on their way at the end.
    assert outcome.requests == pytest.approx(outcome.errors["wrong status"], rel=0.2, abs=45)
    assert outcome.latency.count == outcome.requests
    assert 0 < outcome.latency.percentile(50) <= outcome.latency.max_ns
    assert heard.begun == 1


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(
    "plan",
    [
        Plan(Target("127.0.0.1", 1), DECK, rate_per_s=5.0),
        Plan(Target("127.0.0.1", 1), DECK, requests=5),
        Plan(Target("127.0.0.1", 1), Counting(Family("/{n}", Expected(200)))),
        Plan(Target("127.0.0.1", 1, tls=True, http2=True), DECK),
    ],
    ids=["open loop", "count", "endless", "http2"],
)
async def test_what_wrk_cannot_do_is_refused(plan: Plan) -> None:
    with pytest.raises(BadPlan):
        await fire_wrk(plan)
