"""Several processes on one database and one bucket, each a step at a time, in an order of the
test's: before whatever they ask of the database, and before and after what S3 does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import trio
import trio.testing

from parparchik.dedup.types import Blob, Metadata, Written
from tests.fakes_bytes import BytesAsked
from tests.soon import soon

_IN_PAGES = ("list", "blobs", "tombstones")
_SOON = {"look_soon": "look", "put_soon": "put_unclaimed"}
_mine: ContextVar[str] = ContextVar("_mine", default="")  # '': takes no turns


class Turns:
    """`order` chooses who is next among so many that wait. `between` are called before each turn,
    when nobody does anything."""

    def __init__(self, order: Iterator[int], between: Sequence[Callable[[], object]]) -> None:
        self._order = order
        self._between = between
        self._waiting: dict[str, trio.Event] = {}
        self._acting = 0
        self._news = trio.Event()
        self.taken = 0

    async def step(self) -> None:
        name = _mine.get()
        if name:
            self._waiting[name] = turn = trio.Event()
            self._news.set()
            await turn.wait()

    async def at(self, point: str, asked: BytesAsked) -> None:
        """For FakeBytes."""
        if point != "reading":
            await self.step()

    async def play(self, *acts: Callable[[], Awaitable[object]]) -> None:
        """All of them, to their end."""
        self._acting = len(acts)
        async with trio.open_nursery() as nursery:
            for number, act in enumerate(acts):
                nursery.start_soon(self._act, f"{number}", act)
            while self._acting:
                self._news = trio.Event()
                await trio.testing.wait_all_tasks_blocked()
                for check in self._between:
                    check()
                if self._waiting:
                    names = sorted(self._waiting)
                    self._waiting.pop(names[next(self._order, 0) % len(names)]).set()
                    self.taken += 1
                else:
                    await self._news.wait()  # for a thread

    async def _act(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        _mine.set(name)
        await act()
        self._acting -= 1
        self._news.set()


class Stepped:
    """A Metadata that takes turns."""

    def __init__(self, metadata: Metadata, turns: Turns) -> None:
        self._metadata = metadata
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._metadata, name)
        if name in _IN_PAGES:
            return asked
        if name in _SOON:
            return partial(self._soon, _SOON[name])

        async def ask(*args: Any, **named: Any) -> Any:
            await self._turns.step()
            return await asked(*args, **named)

        return ask

    def _soon(self, name: str, *args: Any, then: Callable[[Any], object], **named: Any) -> bool:
        soon(getattr(self, name), *args, then=then, **named)
        return True

    async def put_unclaimed(self, path: str, version_s: int, blob: Blob, **named: Any) -> Written:
        written: Written = await self.put(path, version_s, blob, None, **named)
        return written
