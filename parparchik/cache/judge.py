"""What of an object may be given, by what is known of it and by a policy."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.cache.freshness import Lifetime, lifetime
from parparchik.cache.generation import Entry, Generation
from parparchik.cache.shelf import Shelf
from parparchik.cache.types import Policy, Wanted
from parparchik.content import Span


class Judge:
    """`max_object_bytes`: whole objects that are larger are not kept."""

    __slots__ = ("_max_object_bytes", "_now", "_shelf")

    def __init__(self, max_object_bytes: int, shelf: Shelf, now: Callable[[], float]) -> None:
        self._max_object_bytes = max_object_bytes
        self._shelf = shelf
        self._now = now

    def first_missing(self, generation: Generation, wanted: Wanted) -> int | None:
        """The first piece of what is wanted that is neither in memory nor on disk."""
        if wanted == "head":
            return None
        span = wanted if isinstance(wanted, Span) else Span(0, generation.size_bytes - 1)
        if isinstance(wanted, Span) and span.first >= generation.size_bytes:
            return None  # no byte of it lies there
        last = min(span.last // generation.slice_bytes, generation.count - 1)
        for index in range(span.first // generation.slice_bytes, max(last, 0) + 1):
            if not self._shelf.has(generation, index):
                return index
        return None

    def has_beginning(self, generation: Generation, wanted: Wanted) -> bool:
        """Whether the first piece of what is wanted is in memory or on disk."""
        if wanted == "head":
            return True
        if isinstance(wanted, Span) and wanted.first >= generation.size_bytes:
            return True
        index = wanted.first // generation.slice_bytes if isinstance(wanted, Span) else 0
        return self._shelf.has(generation, index)

    def passes(self, entry: Entry, policy: Policy, wanted: Wanted) -> bool:
        """Whether what is wanted is known not to be kept, so that each asks for himself."""
        if entry.passing is not None and not lifetime(entry.passing, policy, 0.0).kept:
            return True
        generation = entry.generation
        if generation is None:
            return False
        if not lifetime(generation.representation, policy, 0.0).kept:
            return True
        too_large = wanted == "whole" and generation.size_bytes > self._max_object_bytes
        return too_large and self.first_missing(generation, wanted) is not None

    def is_at_hand(self, generation: Generation, wanted: Wanted) -> bool:
        """Whether what is wanted is there or on its way: what was found may be forgotten by the
        time that who waited for it goes on."""
        index = wanted.first // generation.slice_bytes if isinstance(wanted, Span) else 0
        coming = index in generation.pieces or generation.filling(index) is not None
        return coming or self.has_beginning(generation, wanted)

    def stands_in(self, generation: Generation, policy: Policy, wanted: Wanted) -> bool:
        """Whether it may be served where S3 gives no usable answer."""
        life = lifetime(generation.representation, policy, generation.confirmed_at_s)
        stale_s = self._now() - generation.confirmed_at_s - life.fresh_s
        return stale_s < life.if_error_s and self.has_beginning(generation, wanted)


def may_be_stale(entry: Entry, generation: Generation, life: Lifetime, now_s: float) -> bool:
    """Whether it may be served while S3 is asked: for a while, and, as long as S3 is known to give
    no usable answer, for as long as it may stand in for one."""
    stale_s = now_s - generation.confirmed_at_s - life.fresh_s
    if stale_s < life.while_revalidating_s:
        return True
    return entry.failed_at_s is not None and stale_s < life.if_error_s
