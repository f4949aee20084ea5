"""Asking S3 where a key is: HEADs, bounded in number, with the answer kept apart from the failure.

This is the one place where the registry's HEADs are sent from; whatever it learns about the
reachability of a bucket it tells that bucket's `Health`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from parparchik.errors import Overloaded, Unavailable, UpstreamError
from parparchik.model import ObjectHead, ObjectStore, Unfinished
from parparchik.registry.health import Health


@dataclass(frozen=True, slots=True)
class Presence:
    """What the buckets said of one key: `heads` has those that hold it, by bucket index in
    priority order; `errors` those that could not tell."""

    heads: tuple[tuple[int, ObjectHead], ...]
    errors: tuple[UpstreamError, ...]

    def raise_if_unknown(self) -> None:
        """Raise, unless some bucket has the key or every bucket has said that it has not.

        An outage is raised before a refusal: it may be over at the next attempt.
        """
        if self.errors and not self.heads:
            raise next((e for e in self.errors if isinstance(e, Unavailable)), self.errors[0])


class Prober:
    """HEADs on all buckets under one limit of HEADs in flight."""

    def __init__(self, stores: Sequence[ObjectStore], max_in_flight: int) -> None:
        self.stores = tuple(stores)
        self.health = tuple(Health() for _ in stores)
        self._slots = trio.Semaphore(max_in_flight, max_value=max_in_flight)

    @property
    def slots(self) -> trio.Semaphore:
        """Held by whoever calls `head` or `everywhere`."""
        return self._slots

    def head_soon(
        self,
        index: int,
        key: str,
        then: Callable[[ObjectHead | Unfinished[ObjectHead | None]], None],
    ) -> bool:
        """`ObjectStore.head_soon`, where a slot is free and the bucket is in good health. The slot
        is taken care of here, and so is the news that S3 answers; not what `finish` comes to."""
        slots, health = self._slots, self.health[index]
        if not slots.value or not health.untroubled:
            return False

        def tell(outcome: ObjectHead | Unfinished[ObjectHead | None]) -> None:
            slots.release()
            if type(outcome) is ObjectHead:
                health.succeeded()
            then(outcome)

        slots.acquire_nowait()
        begun = self.stores[index].head_soon(key, tell)
        if not begun:
            slots.release()
        return begun

    async def head(self, index: int, key: str) -> ObjectHead | None:
        """HEAD `key` in one bucket; None when it is not there. Raises UpstreamError, at once
        while the bucket's circuit is open."""
        health = self.health[index]
        now_s = trio.current_time()
        if not health.admits(now_s):
            raise Unavailable(
                f"S3 does not answer for bucket {self.stores[index].bucket.name!r}",
                retry_after_s=health.retry_after_s(now_s),
            )
        return await self.head_anyway(index, key)

    async def head_anyway(self, index: int, key: str) -> ObjectHead | None:
        """The same, whether the circuit is open or not: for those who see to it themselves that
        they do not ask too often."""
        return await self.noting(index, partial(self.stores[index].head, key))

    async def noting(
        self, index: int, ask: Callable[[], Awaitable[ObjectHead | None]]
    ) -> ObjectHead | None:
        """What `ask` says, told to the bucket's `Health`."""
        health = self.health[index]
        try:
            head = await ask()
        except Overloaded:
            raise  # our own queue is full: that says nothing of S3
        except Unavailable as error:
            health.failed(trio.current_time(), str(error))
            raise
        except UpstreamError as error:
            health.refused(trio.current_time(), str(error))
            raise
        health.succeeded()
        return head

    async def everywhere(self, key: str, *, but: int = -1) -> Presence:
        """HEAD `key` in every bucket at once, except bucket `but` and those where the key is
        reserved for the manifest."""
        found: dict[int, ObjectHead] = {}
        errors: dict[int, UpstreamError] = {}

        async def ask(index: int) -> None:
            try:
                head = await self.head(index, key)
            except UpstreamError as error:
                errors[index] = error
            else:
                if head is not None:
                    found[index] = head

        asked = [
            index
            for index, store in enumerate(self.stores)
            if index != but and not store.bucket.reserves(key)
        ]
        if len(asked) == 1:
            await ask(asked[0])
        else:
            async with trio.open_nursery() as nursery:
                for index in asked:
                    nursery.start_soon(partial(ask, index))
        return Presence(
            heads=tuple(sorted(found.items())),
            errors=tuple(errors[index] for index in sorted(errors)),
        )
