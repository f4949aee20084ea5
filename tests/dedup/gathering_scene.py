"""What is asked of a Gathering: work that holds the thread for as long as the test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import outcome
import trio
import trio.testing

from parparchik.dedup.gathering import Ticket

PATIENCE_S = 10


class Work:
    """Says its name, once it may go on. `at_end` happens just before Trio hears that it is over."""

    def __init__(self, name: str, *, goes_on: bool = True) -> None:
        self.name = name
        self.begun = trio.Event()
        self.go_on = threading.Event()
        self.at_end: Callable[[], object] = bool
        self._token = trio.lowlevel.current_trio_token()
        if goes_on:
            self.go_on.set()

    def __call__(self) -> str:
        self._token.run_sync_soon(self.begun.set)
        assert self.go_on.wait(PATIENCE_S)
        self._token.run_sync_soon(self.at_end)
        if self.name.startswith("bad"):
            raise ValueError(self.name)
        return self.name


class Doing:
    """Does what is asked for, and notes what went together. What is called `broken` breaks it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    @property
    def done(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def __call__(self, batch: Sequence[Ticket]) -> None:
        self.batches.append([ticket.work.name for ticket in batch])  # type: ignore[attr-defined]
        for ticket in batch:
            ticket.outcome = outcome.capture(ticket.work)
            if ticket.outcome == outcome.Value("broken"):
                ticket.outcome = None
                raise RuntimeError("out of order")


def nothing() -> None:
    """Is to be done."""


class Told:
    """What `then` was told, by name, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, object]] = []

    def of(self, name: str) -> Callable[[outcome.Outcome[Any]], None]:
        def then(came: outcome.Outcome[Any]) -> None:
            trio.lowlevel.current_trio_token()  # raises where it is not Trio's loop
            said = type(came.error).__name__ if isinstance(came, outcome.Error) else came.unwrap()
            self.all.append((name, said))

        return then

    async def times(self, count: int) -> None:
        with trio.fail_after(PATIENCE_S):
            while len(self.all) < count:
                await trio.testing.wait_all_tasks_blocked(0.001)
