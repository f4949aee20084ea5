"""Who is told of a change before it is answered, and what becomes of those who cannot be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.content import ObjectName
from parparchik.errors import Unavailable
from parparchik.server.shared_cache import Outdated
from parparchik.server.workers.caches import FORGET_LIMIT_S, Caches

PAGE = ObjectName("bucket", "page")
CHANGE = Outdated((PAGE,))


@dataclass(eq=False)
class Directory:
    """`held` are the parts that a process has."""

    held: set[int] = field(default_factory=set)
    noted: list[int] = field(default_factory=list)
    failing: bool = False

    async def note(
        self, number: int, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]
    ) -> bool:
        await trio.lowlevel.checkpoint()
        if self.failing:
            raise OSError("no space left")
        if number in self.held:
            return False
        assert (tuple(names), tuple(below)) == ((PAGE,), ())
        self.noted.append(number)
        return True


@dataclass(eq=False)
class Process:
    """A worker's. `answers` None: it says nothing; `lives_on`: to be killed does nothing."""

    number: int
    parts: Directory | None = None
    joined: bool = True
    settles: bool = True
    objects: int = 1
    silent: bool = False
    lives_on: bool = False
    told: list[Outdated] = field(default_factory=list)
    killed: bool = False
    gone: bool = False

    async def forget(self, outdated: Outdated) -> tuple[int, bool]:
        if self.gone:
            raise Unavailable("gone")
        self.told.append(outdated)
        if self.silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self.objects, self.settles

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()
        self.killed = True
        if self.lives_on:
            raise Unavailable("it cannot be killed")
        if self.parts is not None:
            self.parts.held.discard(self.number)


def caches(size: int, *workers: Process) -> Caches:
    directories = {each.parts for each in workers if each.parts is not None}
    return Caches(size, list(workers), list(directories))


async def test_all_others_are_told() -> None:
    asker, one, other = Process(1), Process(2, objects=3), Process(3, objects=2)
    assert await caches(3, asker, one, other).forget(CHANGE, asker, settled=True) == 3
    assert (asker.told, one.told, other.told) == ([], [CHANGE], [CHANGE])


async def test_both_of_a_place_are_told_while_they_change() -> None:
    asker, old, new = Process(1), Process(2), Process(2)
    successor = Process(1)
    await caches(2, asker, old, new, successor).forget(CHANGE, asker, settled=True)
    assert old.told == new.told == successor.told == [CHANGE]


async def test_one_that_does_not_answer_is_killed_first(autojump_clock: MockClock) -> None:
    directory = Directory({1, 2})
    asker, stopped = Process(1, directory), Process(2, directory, silent=True)
    began_s = trio.current_time()
    await caches(2, asker, stopped).forget(CHANGE, asker, settled=True)
    assert trio.current_time() - began_s == pytest.approx(FORGET_LIMIT_S)
    assert stopped.killed
    assert directory.noted == [2]


async def test_one_that_cannot_be_killed_fails_the_change(autojump_clock: MockClock) -> None:
    asker, other = Process(1), Process(3)
    stuck = Process(2, silent=True, lives_on=True)
    with pytest.raises(Unavailable):
        await caches(3, asker, stuck, other).forget(CHANGE, asker, settled=True)
    assert other.told == [CHANGE]


async def test_one_that_has_ended_has_left_files() -> None:
    directory = Directory({1})
    asker, dead = Process(1, directory), Process(2, directory, gone=True)
    await caches(2, asker, dead).forget(CHANGE, asker, settled=True)
    assert directory.noted == [2]


async def test_where_nobody_is_the_files_are_told() -> None:
    """One that has not joined holds nothing, and is not waited for."""
    directory = Directory({1})
    asker, starting = Process(1, directory), Process(2, directory, joined=False, silent=True)
    await caches(3, asker, starting).forget(CHANGE, asker, settled=True)
    assert sorted(directory.noted) == [2, 3]
    assert starting.told == []


async def test_where_nobody_is_and_the_disk_fails() -> None:
    directory = Directory({1}, failing=True)
    asker = Process(1, directory)
    with pytest.raises(Unavailable):
        await caches(2, asker).forget(CHANGE, asker, settled=True)


async def test_files_that_a_stranger_has() -> None:
    """A process of another group that does not end: nobody knows what it makes of them."""
    directory = Directory({1, 2})
    asker = Process(1, directory)
    with pytest.raises(Unavailable):
        await caches(2, asker).forget(CHANGE, asker, settled=True)


async def test_a_disk_that_does_not_settle_is_its_owners_trouble() -> None:
    directory = Directory({1, 2})
    asker, other = Process(1, directory), Process(2, directory, settles=False)
    await caches(2, asker, other).forget(CHANGE, asker, settled=False)
    assert directory.noted == []


async def test_of_two_at_a_place_one_has_the_files() -> None:
    directory = Directory({1, 2})
    asker, old = Process(1, directory), Process(2, directory)
    new = Process(2, directory, settles=False)  # waits for them
    await caches(2, asker, old, new).forget(CHANGE, asker, settled=True)
    old.gone = True
    directory.held.discard(2)
    await caches(2, asker, old, new).forget(CHANGE, asker, settled=True)
    assert directory.noted == [2]


async def test_two_directories_while_the_settings_change() -> None:
    """What is settled in the one is not in the other."""
    before, after = Directory({1, 2}), Directory({1})
    asker, other, new = Process(1, before), Process(2, before), Process(1, after)
    await caches(2, asker, other, new).forget(CHANGE, asker, settled=True)
    assert (before.noted, after.noted) == ([], [2])


async def test_one_that_joins_meanwhile_and_has_the_files(nursery: trio.Nursery) -> None:
    directory = Directory({1, 2})
    asker, late = Process(1, directory), Process(2, directory, joined=False)
    gate = trio.Event()
    note = directory.note

    async def wait(
        number: int, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]
    ) -> bool:
        late.joined = True
        await gate.wait()
        return await note(number, names, below)

    directory.note = wait  # type: ignore[method-assign]
    done = trio.Event()

    async def forget() -> None:
        await caches(2, asker, late).forget(CHANGE, asker, settled=True)
        done.set()

    nursery.start_soon(forget)
    await wait_all_tasks_blocked()
    assert not done.is_set()
    gate.set()
    with trio.fail_after(5):
        await done.wait()
    assert late.told == [CHANGE]
