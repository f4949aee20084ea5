"""What was changed through one worker is forgotten by all of them, before whoever changed it is
told so.

Every worker keeps objects in memory and in a part of the cache's directory. The parent, which keeps
none, is told of every change by the worker that made it, and answers when nobody is left who could
give out what was there before:

- A worker that has joined is asked, and its answer is waited for. One that does not answer within
  `FORGET_LIMIT_S` is killed: one that was stopped might go on at any time.
- A worker that has not joined yet knows nothing. What it learns from then on S3 tells it after the
  change; and it does not touch its directory before it has joined.
- The directory of a place at which nobody has written it down, because a worker has died and its
  successor is not there yet, is the parent's to write to. What stands there the successor reads
  before anything else.

Two of the same place are asked while workers change for new ones: one has the directory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from parparchik.content import ObjectName
from parparchik.errors import Unavailable
from parparchik.server.shared_cache import Outdated

FORGET_LIMIT_S = 5.0
"""For a worker to say that it has forgotten. It answers as soon as it runs; what its disk makes of
it has a limit of its own, below this one."""

log = structlog.get_logger(__name__)


class Parts(Protocol):
    """A cache directory with a part for each worker, by its number."""

    async def note(
        self, number: int, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]
    ) -> bool:
        """Write down what is not to be believed of that part; False where somebody has it. Raises
        OSError."""
        ...


class Worker(Protocol):
    """A member, as far as its cache is concerned."""

    @property
    def number(self) -> int: ...

    @property
    def parts(self) -> Parts | None:
        """Where it keeps files, if at all."""
        ...

    @property
    def joined(self) -> bool:
        """Whether it may keep objects."""
        ...

    async def forget(self, outdated: Outdated) -> tuple[int, bool]:
        """(objects that it knew, whether its disk has it) when it has forgotten. Raises Unavailable
        where it does not say so, or has ended."""
        ...

    async def end(self) -> None:
        """Have it killed; returns when it runs no more. Raises Unavailable."""
        ...


@dataclass(slots=True)
class _Place:
    """What has become of a change at the workers of one number. `settled` are the directories whose
    part has it on disk."""

    number: int
    outdated: Outdated
    asked: set[Worker]
    ended: set[Worker] = field(default_factory=set)
    settled: set[Parts] = field(default_factory=set)
    objects: int = 0


class Caches:
    """The caches of all workers. `workers` are those that run, and `directories` those that any of
    them uses or may use, as it changes."""

    def __init__(
        self, size: int, workers: Collection[Worker], directories: Collection[Parts]
    ) -> None:
        self._directories = directories
        self._numbers = range(1, size + 1)
        self._workers = workers

    async def forget(self, outdated: Outdated, asker: Worker, *, settled: bool) -> int:
        """Returns when no worker but the `asker` will give it out, nor one that follows any of
        them; how many objects the one knew that knew most. `settled`: the asker's disk has it.
        Raises Unavailable."""
        counts = [0]
        failures: list[Exception] = []

        async def forget_at(number: int) -> None:
            place = _Place(number, outdated, {asker})
            if settled and asker.number == number and asker.parts is not None:
                place.settled.add(asker.parts)
            try:
                await self._forget_at(place)
            except (OSError, Unavailable) as error:
                log.error("change not known to all", worker=number, reason=str(error))  # noqa: TRY400
                failures.append(error)
            counts.append(place.objects)

        async with trio.open_nursery() as nursery:
            for number in self._numbers:
                nursery.start_soon(forget_at, number)
        if failures:
            raise Unavailable("not every process could be told of the change")
        return max(counts)

    async def _forget_at(self, place: _Place) -> None:
        """Raises Unavailable and OSError."""
        while True:
            for worker in self._unasked(place):
                await self._ask(worker, place)
            for parts in tuple(self._directories):
                if parts not in place.settled:
                    await self._note(parts, place)
            if not self._unasked(place):
                return

    async def _ask(self, worker: Worker, place: _Place) -> None:
        """Have it forget; one that does not is killed. Raises Unavailable where it lives on."""
        place.asked.add(worker)
        with trio.move_on_after(FORGET_LIMIT_S) as limit, suppress(Unavailable):
            objects, settled = await worker.forget(place.outdated)
            place.objects = max(place.objects, objects)
            if settled and worker.parts is not None:
                place.settled.add(worker.parts)
            return
        if limit.cancelled_caught:
            log.error("worker does not answer, and is killed", worker=worker.number)
        await worker.end()
        place.ended.add(worker)

    async def _note(self, parts: Parts, place: _Place) -> None:
        """Raises Unavailable and OSError."""
        if await parts.note(place.number, place.outdated.names, place.outdated.below):
            place.settled.add(parts)
        elif not any(worker.parts is parts for worker in self._here(place)):
            # One that has it and has forgotten has trouble with its disk, and says so. Anybody
            # else must not have it.
            raise Unavailable("its directory is in use")

    def _here(self, place: _Place) -> list[Worker]:
        here = (each for each in tuple(self._workers) if each.number == place.number)
        return [each for each in here if each.joined and each not in place.ended]

    def _unasked(self, place: _Place) -> list[Worker]:
        return [each for each in self._here(place) if each not in place.asked]
