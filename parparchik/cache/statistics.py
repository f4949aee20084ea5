"""What the cache says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from parparchik.cache.background import Background
from parparchik.cache.counters import Counters
from parparchik.cache.memory import Memory
from parparchik.cache.slots import Slots


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """Counts since the start, except what is of the moment: memory_bytes, memory_items, objects,
    negatives, fills, waiting.

    `hits` to `bypassed` are answers by their status; `negative_hits` that of absence remembered,
    and an absence that S3 was asked for is a miss. `errors` are questions that S3 gave no usable
    answer to, `requests` all that it was asked. `fetched_bytes` came from S3, `read_bytes` were
    read of bodies, ready ones aside. `original_bytes` were compressed to `coded_bytes`. `unsaved`
    are pieces that the disk was too busy for or could not keep; `failures` are errors of our own.
    `evicted_at_s` is when memory last had to make room, 0 where it never had.
    """

    hits: int
    negative_hits: int
    misses: int
    stale: int
    revalidated: int
    bypassed: int
    errors: int
    requests: int
    fetched_bytes: int
    read_bytes: int
    original_bytes: int
    coded_bytes: int
    invalidations: int
    unsaved: int
    memory_bytes: int
    memory_items: int
    evictions: int
    evicted_at_s: float
    objects: int
    negatives: int
    fills: int
    waiting: int
    failures: int


def statistics(
    counters: Counters, memory: Memory, slots: Slots, background: Background
) -> CacheStatistics:
    return CacheStatistics(
        hits=counters.hits,
        negative_hits=counters.negative_hits,
        misses=counters.misses,
        stale=counters.stale,
        revalidated=counters.revalidated,
        bypassed=counters.bypassed,
        errors=counters.errors,
        requests=counters.requests,
        fetched_bytes=counters.fetched_bytes,
        read_bytes=counters.read_bytes,
        original_bytes=counters.original_bytes,
        coded_bytes=counters.coded_bytes,
        invalidations=counters.invalidations,
        unsaved=counters.unsaved,
        memory_bytes=memory.used_bytes,
        memory_items=len(memory),
        evictions=memory.evictions,
        evicted_at_s=memory.evicted_at_s,
        objects=len(memory.entries),
        negatives=memory.negatives,
        fills=slots.taken,
        waiting=slots.waiting,
        failures=background.failures,
    )
