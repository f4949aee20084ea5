"""Who cleans where several processes might."""

from __future__ import annotations

import trio

from parparchik.dedup.cleaner import Cleaner
from tests.dedup.bed import DAY_S, Bed, laid

EVERY_S = 600.0
SWEEP_EVERY_S = 7200.0


class Group:
    """Cleaners of four processes."""

    def __init__(self, bed: Bed, nursery: trio.Nursery) -> None:
        self.cleaners = [bed.cleaner(owner=f"process {number}") for number in range(4)]
        self._scopes: list[trio.CancelScope] = []
        self._seen = [0] * 4
        for cleaner in self.cleaners:
            scope = trio.CancelScope()
            self._scopes.append(scope)
            nursery.start_soon(self._run, cleaner, scope)

    async def _run(self, cleaner: Cleaner, scope: trio.CancelScope) -> None:
        with scope:
            await cleaner.run(EVERY_S, SWEEP_EVERY_S)

    def passes(self) -> list[int]:
        """Since they were asked for last."""
        before, self._seen = self._seen, [cleaner.passes for cleaner in self.cleaners]
        return [now - then for now, then in zip(self._seen, before, strict=True)]

    def kill(self, number: int) -> None:
        self._scopes[number].cancel()


async def test_on_a_schedule_one_cleans_and_the_others_stand_by(autojump_clock: object) -> None:
    async with laid() as bed, trio.open_nursery() as nursery:
        group = Group(bed, nursery)
        await trio.sleep(DAY_S)
        passes = group.passes()
        assert sorted(passes)[:3] == [0, 0, 0]
        assert max(passes) > DAY_S / (1.3 * EVERY_S)
        group.kill(passes.index(max(passes)))
        await trio.sleep(DAY_S)
        followed = group.passes()
        assert sorted(followed)[:3] == [0, 0, 0]
        assert max(followed) > (DAY_S / EVERY_S - 3) / 1.3
        nursery.cancel_scope.cancel()


async def test_somebodys_own_pass_is_never_put_off(autojump_clock: object) -> None:
    async with laid() as bed, trio.open_nursery() as nursery:
        group = Group(bed, nursery)
        await trio.sleep(DAY_S)
        group.passes()
        assert sum(cleaner.last is not None for cleaner in group.cleaners) == 1
        assert (await bed.cleaner(owner="by hand").clean()).led
        await trio.sleep(EVERY_S / 2)
        assert sum(group.passes()) == 0
        await trio.sleep(DAY_S)
        assert sorted(group.passes())[:3] == [0, 0, 0]
        # What an earlier leader found is nothing to go by any more.
        assert sum(cleaner.last is not None for cleaner in group.cleaners) == 1
        nursery.cancel_scope.cancel()


async def test_a_leader_that_is_killed_in_a_pass_is_followed(autojump_clock: object) -> None:
    """Its lead runs out."""
    async with laid() as bed, trio.open_nursery() as nursery:
        assert await bed.metadata.lead("it was killed", now_s=bed.now(), life_s=300.0)
        group = Group(bed, nursery)
        await trio.sleep(3600.0)
        assert sum(group.passes()) > 0
        nursery.cancel_scope.cancel()
