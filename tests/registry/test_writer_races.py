"""Any number of processes on one manifest, in any order: it ends up with what they have."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from parparchik.errors import PreconditionFailed
from parparchik.registry.entries import pack
from tests.fakes import Conditions, FakeBucket
from tests.registry.processes import Process, processes
from tests.registry.services import FIRST, ask, service_on

SOUND = (Conditions.QUOTED, Conditions.UNQUOTED)


@dataclass
class Plan:
    """What hypothesis decides: what each process does, when, and what comes between."""

    conditions: Conditions
    seed: int
    steps: list[tuple[int, str, int]] = field(default_factory=list)


steps = st.tuples(
    st.integers(0, 2), st.sampled_from(["add", "discard", "write", "both"]), st.integers(0, 5)
)
sequential_plans = st.builds(
    Plan, st.sampled_from(Conditions), st.just(0), st.lists(steps, max_size=25)
)
concurrent_plans = st.builds(
    Plan, st.sampled_from(SOUND), st.integers(0, 2**32), st.lists(steps, max_size=25)
)


async def carry_out(plan: Plan, *, concurrently: bool) -> None:
    """Every process adds keys of its own and removes some of them before anyone saw them."""
    store = FakeBucket(FIRST, conditions=plan.conditions)
    three = await processes(store, 3)
    expected: set[str] = set()
    random = Random(plan.seed)
    if concurrently:

        def dawdle(operation: str, key: str) -> None:
            store.delay_s = random.choice((0.0, 0.5, 1.0))

        store.on_request = dawdle
    async with trio.open_nursery() as nursery:
        for who, what, n in plan.steps:
            process, key = three[who], f"{who}/{n}"
            if what in ("add", "both"):
                process.add(key)
                expected.add(key)
            if what == "discard":
                process.registry.put("passing/" + key, pack(0, 1, 1))
                process.registry.discard("passing/" + key)
            if what in ("write", "both"):
                if concurrently:
                    nursery.start_soon(write_in_the_end, process)
                    await trio.sleep(random.choice((0.0, 0.3, 0.7)))
                else:
                    await process.writer.flush()
    store.on_request = None
    for process in (*three, *three):
        await process.writer.flush()
    assert store.manifest_keys == expected
    json.loads(store.objects[FIRST.manifest_key].data)


async def write_in_the_end(process: Process) -> None:
    while True:
        try:
            await process.file.write()
        except PreconditionFailed:
            await trio.sleep(1)
        else:
            return


@given(sequential_plans)
@settings(max_examples=60, deadline=None)
def test_three_processes_one_after_the_other(plan: Plan) -> None:
    async def main() -> None:
        await carry_out(plan, concurrently=False)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@given(concurrent_plans)
@settings(max_examples=60, deadline=None)
def test_three_processes_at_the_same_time(plan: Plan) -> None:
    async def main() -> None:
        await carry_out(plan, concurrently=True)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("conditions", SOUND)
async def test_two_services_discover_files_side_by_side(
    autojump_clock: MockClock, nursery: trio.Nursery, conditions: Conditions
) -> None:
    store = FakeBucket(FIRST, conditions=conditions)
    store.delay_s = 0.05
    services = [service_on(store), service_on(store)]
    async with trio.open_nursery() as starting:
        for service in services:
            starting.start_soon(service.start_up)
    for service in services:
        nursery.start_soon(service.write_manifests)
    for n in range(40):
        store.add(f"k{n}")
        await ask(services[n % 2], f"k{n}")
        await trio.sleep(0.2)
    await trio.sleep(5)
    assert store.manifest_keys == {f"k{n}" for n in range(40)}
