"""A Gathering's askers that are cancelled, in whatever moment, and how it is closed."""

from __future__ import annotations

import threading
import weakref

import pytest
import trio
import trio.testing

from parparchik.dedup.gathering import Gathering
from parparchik.errors import MetadataUnavailable
from tests.dedup.gathering_scene import PATIENCE_S, Doing, Told, Work


async def test_cancelled_before_its_turn_it_is_not_done() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 10)
    first = Work("first", goes_on=False)
    gathering.ask_soon(first, told.of("first"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.ask, Work("never"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(gathering) == 1
        nursery.cancel_scope.cancel()
    assert len(gathering) == 0
    gathering.ask_soon(Work("a"), told.of("a"))
    first.go_on.set()
    await told.times(2)
    assert doing.done == ["first", "a"]
    with trio.CancelScope() as scope:
        scope.cancel()
        await gathering.ask(Work("cancelled before"))
    assert not gathering.is_busy


async def test_cancelled_while_it_is_done_it_hears_nothing_and_others_do() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 10)
    for _ in range(3):
        held = Work("held", goes_on=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gathering.ask, held)
            await held.begun.wait()
            nursery.cancel_scope.cancel()
        gathering.ask_soon(Work("a"), told.of("a"))
        held.go_on.set()
        assert await gathering.ask(Work("b")) == "b"
    assert doing.done == ["held", "a", "b"] * 3
    assert told.all == [("a", "a")] * 3


async def test_cancelled_in_the_moment_in_which_it_is_told() -> None:
    """Before it, behind it, and both in one turn of the loop."""
    gathering = Gathering(Doing(), 10)
    for number in range(60):
        held = Work("held", goes_on=False)
        scope = trio.CancelScope()
        heard: list[str] = []

        async def ask(scope: trio.CancelScope, held: Work, heard: list[str]) -> None:
            with scope:
                heard.append(await gathering.ask(held))

        held.at_end = scope.cancel if number % 2 else bool
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, scope, held, heard)
                await held.begun.wait()
                gathering.ask_soon(Work("next"), lambda _, scope=scope: scope.cancel())  # type: ignore[misc]
                held.go_on.set()
        assert heard == ([] if scope.cancelled_caught else ["held"])
    assert await gathering.ask(Work("last")) == "last"


# -- the end --------------------------------------------------------------------------------------


async def test_what_waits_is_done_before_it_is_closed() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 2)
    first = Work("first", goes_on=False)
    gathering.ask_soon(first, told.of("first"))
    await first.begun.wait()
    for name in "abc":
        gathering.ask_soon(Work(name), told.of(name))
    finished: list[object] = []

    def finish() -> None:
        finished.append((list(doing.done), threading.get_ident()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.close, finish)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(MetadataUnavailable, match="closed"):
            gathering.ask_soon(Work("late"), told.of("late"))
        with pytest.raises(MetadataUnavailable, match="closed"):
            await gathering.ask(Work("late"))
        nursery.cancel_scope.cancel()  # it ends all the same
        assert finished == []
        first.go_on.set()
    ((done, thread),) = finished  # type: ignore[misc]
    assert done == doing.done == ["first", "a", "b", "c"]  # type: ignore[has-type]
    assert thread != threading.get_ident()  # type: ignore[has-type]
    assert [name for name, _ in told.all] == ["first", "a", "b", "c"]


async def test_where_nothing_waits_it_is_closed_at_once() -> None:
    finished: list[str] = []
    gathering = Gathering(Doing(), 2)
    await gathering.close(lambda: finished.append("unused"))
    gathering = Gathering(Doing(), 2)
    assert await gathering.ask(Work("a")) == "a"
    await gathering.close(lambda: finished.append("used"))
    assert finished == ["unused", "used"]
    with pytest.raises(MetadataUnavailable, match="closed"):
        gathering.ask_soon(Work("late"), bool)


def test_a_run_that_ends_while_a_thread_is_at_work(capfd: pytest.CaptureFixture[str]) -> None:
    told, go_on, is_forgotten = Told(), threading.Event(), threading.Event()

    class Held:
        name = "held"

        def __call__(self) -> None:
            assert go_on.wait(PATIENCE_S)

    async def main() -> None:
        held = Held()
        weakref.finalize(held, is_forgotten.set)
        Gathering(Doing(), 2).ask_soon(held, told.of("held"))

    trio.run(main)
    go_on.set()
    assert is_forgotten.wait(PATIENCE_S)  # the thread has tried to say so
    assert told.all == []
    assert capfd.readouterr() == ("", "")
