"""What gathers while a thread is at work: who is asked when, and who is told what."""

from __future__ import annotations

from typing import Any

import outcome
import pytest
import structlog.testing
import trio
import trio.testing

from parparchik.dedup.gathering import Gathering
from parparchik.errors import MetadataUnavailable
from tests.dedup.gathering_scene import Doing, Told, Work, nothing


async def test_the_first_is_done_at_once_and_what_gathers_goes_together_in_order() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 4)
    first = Work("first", goes_on=False)
    gathering.ask_soon(first, told.of("first"))
    assert gathering.is_busy
    await first.begun.wait()
    for name in "abcdefghij":
        gathering.ask_soon(Work(name), told.of(name))
    assert len(gathering) == 10
    first.go_on.set()
    await told.times(11)
    assert doing.batches == [["first"], list("abcd"), list("efgh"), list("ij")]
    assert told.all == [(name, name) for name in ("first", *"abcdefghij")]
    assert (len(gathering), gathering.is_busy) == (0, False)
    gathering.ask_soon(Work("later"), told.of("later"))
    await told.times(12)
    assert doing.batches[4:] == [["later"]]


async def test_tasks_and_callbacks_take_turns_as_they_came() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 10)
    first = Work("first", goes_on=False)

    async def ask(name: str) -> None:
        assert await gathering.ask(Work(name)) == name

    gathering.ask_soon(first, told.of("first"))
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            if name in "ac":
                nursery.start_soon(ask, name)
                await trio.testing.wait_all_tasks_blocked()
            else:
                gathering.ask_soon(Work(name), told.of(name))
        first.go_on.set()
    assert doing.batches == [["first"], list("abcd")]


async def test_who_asks_is_told_later_and_once() -> None:
    told = Told()
    gathering = Gathering(Doing(), 10)
    for name in ("a", "bad"):
        gathering.ask_soon(Work(name), told.of(name))
        assert told.all == []
    await told.times(2)
    await gathering.close(nothing)
    assert told.all == [("a", "a"), ("bad", "ValueError")]
    with pytest.raises(ValueError, match="bad"):
        await Gathering(Doing(), 10).ask(Work("bad"))


async def test_who_is_told_may_ask_again() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 10)
    first = Work("first", goes_on=False)

    def again(came: outcome.Outcome[Any]) -> None:
        told.of("a")(came)
        gathering.ask_soon(Work("c"), told.of("c"))

    gathering.ask_soon(first, told.of("first"))
    gathering.ask_soon(Work("a"), again)
    gathering.ask_soon(Work("b"), told.of("b"))
    first.go_on.set()
    await told.times(4)
    assert doing.batches == [["first"], ["a", "b"], ["c"]]
    assert not gathering.is_busy


async def test_one_that_raises_when_it_is_told_harms_nobody() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 10)
    first = Work("first", goes_on=False)

    def raises(_: object) -> None:
        raise ZeroDivisionError

    gathering.ask_soon(first, raises)
    await first.begun.wait()
    gathering.ask_soon(Work("a"), told.of("a"))
    gathering.ask_soon(Work("b"), raises)
    gathering.ask_soon(Work("c"), told.of("c"))
    with structlog.testing.capture_logs() as logged:
        first.go_on.set()
        await told.times(2)
        assert await gathering.ask(Work("d")) == "d"
    assert told.all == [("a", "a"), ("c", "c")]
    assert [entry["log_level"] for entry in logged] == ["error", "error"]


async def test_a_thread_that_fails_is_told_to_those_it_worked_for() -> None:
    doing, told = Doing(), Told()
    gathering = Gathering(doing, 3)
    first = Work("first", goes_on=False)
    gathering.ask_soon(first, told.of("first"))
    await first.begun.wait()
    for name in ("a", "broken", "c", "next"):
        gathering.ask_soon(Work(name), told.of(name))
    with structlog.testing.capture_logs() as logged:
        first.go_on.set()
        await told.times(5)
        with pytest.raises(MetadataUnavailable):
            await gathering.ask(Work("broken"))
    away = "MetadataUnavailable"
    assert told.all[:4] == [("first", "first"), ("a", "a"), ("broken", away), ("c", away)]
    assert told.all[4:] == [("next", "next")]
    assert [entry["log_level"] for entry in logged] == ["error", "error"]
    assert await gathering.ask(Work("d")) == "d"


async def test_without_a_thread_all_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a process may have no more of them. Who comes when it may is served."""
    told = Told()
    gathering = Gathering(Doing(), 10)
    first = Work("first", goes_on=False)
    gathering.ask_soon(first, told.of("first"))
    await first.begun.wait()
    gathering.ask_soon(Work("a"), told.of("a"))

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logged:
        patch.setattr(trio.lowlevel, "start_thread_soon", refuse)
        first.go_on.set()
        await told.times(2)
        gathering.ask_soon(Work("b"), told.of("b"))
        assert len(told.all) == 2, "never before it returns"
        await told.times(3)
        with pytest.raises(MetadataUnavailable):
            await gathering.ask(Work("c"))
    assert [said for _, said in told.all[1:]] == ["MetadataUnavailable"] * 2
    assert len(logged) == 3
    assert await gathering.ask(Work("d")) == "d"
    await gathering.close(nothing)
