"""The cache and the object gateway, as samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import Metric

from parparchik.cache import CacheStatistics, DiskStatistics
from parparchik.metrics.samples import counters, gauge, gauges
from parparchik.objects import GatewayStatistics


class ByteSources(Protocol):
    """Where the numbers come from, where objects are served; each is asked once a scrape. None:
    there is no such thing here."""

    @property
    def memory_budget_bytes(self) -> int: ...

    def cache(self) -> CacheStatistics: ...

    def disk(self) -> DiskStatistics | None: ...

    def gateway(self) -> GatewayStatistics | None: ...


def byte_metrics(sources: ByteSources) -> Iterator[Metric]:
    cache, disk = sources.cache(), sources.disk()
    yield from _answers(cache)
    yield from _tiers(cache, disk, sources.memory_budget_bytes)
    yield from _filling(cache)
    if disk is not None:
        yield from _disk(disk)
    gateway = sources.gateway()
    if gateway is not None:
        yield from _gateway(gateway)


def _answers(cache: CacheStatistics) -> Iterator[Metric]:
    statuses = (
        ("hit", cache.hits),
        ("absent", cache.negative_hits),
        ("stale", cache.stale),
        ("revalidated", cache.revalidated),
    )
    kept = sum(count for _, count in statuses)
    yield counters("cache_hits", "Answers from what was kept", (), [(kept,)])
    yield counters("cache_misses", "Answers that S3 was asked for", (), [(cache.misses,)])
    yield counters(
        "cache_answers",
        "Answers of the cache by how it came by them",
        ("status",),
        [*statuses, ("miss", cache.misses), ("bypass", cache.bypassed)],
    )


def _tiers(
    cache: CacheStatistics, disk: DiskStatistics | None, memory_budget_bytes: int
) -> Iterator[Metric]:
    held = [("memory", cache.memory_bytes)]
    limits = [("memory", memory_budget_bytes)]
    entries = [("memory", cache.memory_items)]
    evictions = [("memory", cache.evictions)]
    evicted_at = [("memory", cache.evicted_at_s)]
    if disk is not None:
        held.append(("disk", disk.bytes))
        limits.append(("disk", disk.budget_bytes))
        entries.append(("disk", disk.files))
        evictions.append(("disk", disk.evictions))
        evicted_at.append(("disk", disk.evicted_at_s))
    yield gauges("cache_bytes", "What is kept", "tier", held)
    yield gauges("cache_limit_bytes", "How much may be kept", "tier", limits)
    yield gauges("cache_entries", "Kept pieces of objects, and what is known", "tier", entries)
    yield counters("cache_evictions", "Entries that had to make room", ("tier",), evictions)
    yield gauges(
        "cache_last_eviction_timestamp_seconds",
        "When the last had to; 0: never",
        "tier",
        evicted_at,
    )
    yield gauge("cache_objects", "Objects known in memory", cache.objects)
    yield gauge("cache_absent_objects", "Objects known not to exist", cache.negatives)


def _filling(cache: CacheStatistics) -> Iterator[Metric]:
    yield gauge("cache_fills", "Requests to S3 that fill the cache just now", cache.fills)
    yield gauge("cache_fills_waiting", "Requests that wait to be made", cache.waiting)
    for name, documentation, count in (
        ("requests", "Requests to S3 for the cache", cache.requests),
        ("request_errors", "Those without a usable answer", cache.errors),
        ("fetched_bytes", "Bytes of bodies from S3", cache.fetched_bytes),
        ("read_bytes", "Bytes of bodies read out of the cache", cache.read_bytes),
        ("compressed_bytes", "Bytes before compression", cache.original_bytes),
        ("coded_bytes", "The same bytes after it", cache.coded_bytes),
        ("invalidations", "Objects forgotten because they were changed", cache.invalidations),
        ("unsaved", "Pieces that the disk did not take", cache.unsaved),
        ("failures", "Errors of our own in the background", cache.failures),
    ):
        yield counters(f"cache_{name}", documentation, (), [(count,)])


def _disk(disk: DiskStatistics) -> Iterator[Metric]:
    for name, documentation, value in (
        ("leaving_bytes", "Of files to be deleted next", disk.leaving_bytes),
        ("open_files", "Files open for readers", disk.open_files),
        ("degraded", "Whether nothing is written at present", bool(disk.degraded)),
        ("rebuilding_files", "Files not looked into yet", disk.to_rebuild - disk.rebuilt),
    ):
        yield gauge(f"cache_disk_{name}", documentation, value)
    for name, documentation, count in (
        ("saves", "Pieces written", disk.saves),
        ("saved_bytes", "Bytes of pieces written", disk.saved_bytes),
        ("save_failures", "Pieces that could not be written", disk.save_failures),
        ("refused_saves", "Pieces not tried: no room, or in trouble", disk.refused),
        ("opens", "Pieces opened", disk.opens),
        ("read_failures", "Pieces that could not be read", disk.read_failures),
        ("corrupt", "Pieces that did not have their hash", disk.corrupt),
    ):
        yield counters(f"cache_disk_{name}", documentation, (), [(count,)])
    yield counters(
        "cache_disk_dropped", "Files found at start and not used", ("reason",), disk.dropped
    )


def _gateway(gateway: GatewayStatistics) -> Iterator[Metric]:
    yield counters(
        "bucket_operations",
        "Operations of the object gateway",
        ("bucket", "operation"),
        gateway.operations,
    )
    yield gauge("gateway_bodies", "Bodies that are being taken", gateway.bodies)
    yield counters(
        "gateway_refused_bodies", "Bodies refused: too many", (), [(gateway.refused_bodies,)]
    )
