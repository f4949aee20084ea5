"""One of several caches of the same objects: what was changed through one is forgotten by all.

Whoever has changed an object is told so when no cache that may be asked knows what was there
before. Where that cannot be made certain the change is answered with Unavailable: S3 has it, and to
ask again is safe.

The other caches are those of the other workers (`workers.caches`), or, while the settings of a
process change, the one of the application before: requests that it was asked are still under way,
an upload among them. Those of other hosts are a matter of their own (`peered_caches`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import trio

from parparchik.cache import Absent, Coding, Forgot, Found, ObjectCache, Policy, Wanted
from parparchik.content import ObjectName


@dataclass(frozen=True, slots=True)
class Outdated:
    """What was changed at S3: these objects, and all whose key begins so: (bucket, prefix).
    `by_peer`: another host has said so, and has told all that are to know."""

    names: tuple[ObjectName, ...] = ()
    below: tuple[tuple[str, str], ...] = ()
    by_peer: bool = False


class Others(Protocol):
    """The other caches of the same objects."""

    async def forget(self, outdated: Outdated, asker: SharedCache, *, settled: bool) -> int:
        """Returns when none of them will give out what is outdated, nor a later one that finds
        their files; how many objects the one of them knew that knew most. `settled` is what the
        asker's own disk says. Raises Unavailable where that is not certain."""
        ...


class SharedCache:
    """`cache.Cache` of `cache`."""

    def __init__(self, cache: ObjectCache, others: Others) -> None:
        self._cache = cache
        self._others = others
        self._listeners: list[Callable[[Outdated], object]] = []
        self.find_nowait = cache.find_nowait  # one call less for every request
        self.variant_nowait = cache.variant_nowait

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        return await self._cache.find(name, policy, wanted)

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        return await self._cache.variant(found, coding, make)

    async def invalidate(self, *names: ObjectName) -> int:
        """Raises Unavailable where another cache may still give out what was there. How many
        objects that was in the cache that knew most of them."""
        return await self._forget_all(Outdated(names))

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        """Likewise."""
        return await self._forget_all(Outdated(below=((bucket, prefix),)))

    def tell(self, listener: Callable[[Outdated], object]) -> None:
        """Whatever else is known here of objects: it is told of every change as the cache is."""
        self._listeners.append(listener)

    async def forget_for_peer(
        self, names: tuple[ObjectName, ...], below: tuple[tuple[str, str], ...]
    ) -> int:
        """Both, of what was changed through another host. Raises Unavailable likewise."""
        return await self._forget_all(Outdated(names, below, by_peer=True))

    async def _forget_all(self, outdated: Outdated) -> int:
        """All of it, or another cache goes on with the bytes of before: S3 has the change by now,
        whoever asked for it may be gone. Each part has a limit of its own."""
        with trio.CancelScope(shield=True):
            own = await self.forget(outdated)
            others = await self._others.forget(outdated, self, settled=own.settled)
        return max(own.objects, others)

    async def forget(self, outdated: Outdated) -> Forgot:
        """Forget it here alone: at once, and for good where the disk says so in time."""
        for listener in self._listeners:
            listener(outdated)
        return await self._cache.forget(outdated.names, outdated.below)


class Siblings:
    """`Others` of the caches of one process."""

    def __init__(self) -> None:
        self._caches: list[SharedCache] = []

    @contextmanager
    def present(self, cache: SharedCache) -> Iterator[None]:
        """Within it `cache` is one of them."""
        self._caches.append(cache)
        try:
            yield
        finally:
            self._caches.remove(cache)

    async def forget(self, outdated: Outdated, asker: SharedCache, *, settled: bool) -> int:
        objects = 0
        for cache in tuple(self._caches):
            if cache is not asker:
                objects = max(objects, (await cache.forget(outdated)).objects)
        return objects
