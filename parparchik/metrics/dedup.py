"""The dedup store, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from parparchik.dedup import DedupStatistics, StoreStatistics, Totals
from parparchik.metrics.samples import counters, gauge

AskDedup = Callable[[], DedupStatistics | None]
"""None: there is no such store."""

OF_THE_STORE = (
    *("files", "blobs", "logical_bytes", "stored_bytes", "ratio", "orphans", "garbage"),
    "lost_blobs",
)
"""Gauges that every process knows alike."""

OF_A_PASS = ("orphans", "deleted", "failed", "unknown", "missing", "timestamp_seconds")
"""Gauges of the process that was the last to clean, be it others' turn by now."""


def no_dedup() -> None:
    """For where there is no such store."""


def dedup_metrics(statistics: DedupStatistics | None) -> Iterator[Metric]:
    if statistics is None:
        return
    if statistics.totals is not None:
        yield from _totals(statistics.totals)
    yield from _work(statistics.store)
    yield from _cleaning(statistics)
    fetches = (("done", statistics.fetched), ("failed", statistics.failed_fetches))
    yield counters("dedup_fetches", "Files taken over from upstream", ("outcome",), fetches)
    yield from _metadata(statistics)


def _totals(totals: Totals) -> Iterator[Metric]:
    ratio = totals.logical_bytes / totals.stored_bytes if totals.stored_bytes else 1.0
    for name, documentation, value in (
        ("files", "Files in the dedup store", totals.files),
        ("blobs", "Contents, each stored once", totals.blobs),
        ("logical_bytes", "What the files would need, each alone", totals.logical_bytes),
        ("stored_bytes", "What their contents need at S3", totals.stored_bytes),
        ("ratio", "Logical bytes by stored bytes", ratio),
        ("orphans", "Contents without a file, in their grace", totals.orphans),
        ("garbage", "Objects about to be deleted", totals.garbage),
        ("lost_blobs", "Contents that S3 should have and has not", totals.lost),
    ):
        yield gauge(f"dedup_{name}", documentation, value)


def _work(store: StoreStatistics) -> Iterator[Metric]:
    for name, documentation, value in (
        ("receiving", "Uploads under way", store.receiving),
        (
            "waiting_writers",
            "Writers that wait for another of the same path",
            store.waiting_writers,
        ),
        ("spooled_memory_bytes", "Uploads that wait in memory", store.spooled_memory_bytes),
        ("spooled_disk_bytes", "Uploads that wait on disk", store.spooled_disk_bytes),
    ):
        yield gauge(f"dedup_{name}", documentation, value)
    counted = store.counters
    for name, documentation, count in (
        ("hits", "Files asked for and found", counted.hits),
        ("misses", "Files asked for that there are not", counted.misses),
        ("puts", "Uploads that were taken", counted.puts),
        ("deletes", "Deletions", counted.deletes),
        ("older", "Uploads and deletions older than what was stored", counted.older),
        ("uploads", "Contents that went to S3", counted.uploads),
        ("uploads_skipped", "Contents that S3 had already", counted.skipped),
        ("uploads_straight", "Contents that went to S3 as they came", counted.straight),
        ("uploads_refused", "Uploads and writers there was no room for", store.refused),
        ("claims_lost", "Claims that ran out", counted.claims_lost),
        ("missing_blobs", "Contents that S3 should have had", counted.missing),
        ("received_bytes", "Bytes of uploads", counted.received_bytes),
        ("uploaded_bytes", "Bytes that went to S3", counted.uploaded_bytes),
    ):
        yield counters(f"dedup_{name}", documentation, (), [(count,)])


def _cleaning(statistics: DedupStatistics) -> Iterator[Metric]:
    outcomes = (("done", statistics.passes), ("failed", statistics.failed_passes))
    yield counters("dedup_clean_passes", "Passes of the cleaner", ("outcome",), outcomes)
    report = statistics.cleaned
    if report is None:
        return
    for name, documentation, value in (
        ("orphans", "Orphans that the last pass found", report.orphans),
        ("deleted", "Objects that it deleted", report.deleted),
        ("failed", "Objects that S3 did not delete", report.failed),
        ("unknown", "Objects that nobody knew of", report.unknown),
        ("missing", "Contents that were missing at S3", report.missing),
        ("timestamp_seconds", "When it ended", statistics.cleaned_s),
    ):
        yield gauge(f"dedup_last_clean_{name}", documentation, value)


def _metadata(statistics: DedupStatistics) -> Iterator[Metric]:
    labels = ("operation",)
    rows = statistics.asked
    yield counters(
        "dedup_metadata_operations",
        "Questions to the metadata store",
        labels,
        [(operation, count) for operation, count, _, _ in rows],
    )
    yield counters(
        "dedup_metadata_errors",
        "Those without an answer",
        labels,
        [(operation, errors) for operation, _, errors, _ in rows],
    )
    seconds = CounterMetricFamily(
        "parparchik_dedup_metadata_seconds", "How long they took, all together", labels=labels
    )
    for operation, _, _, took_s in rows:
        seconds.add_metric([operation], took_s)
    yield seconds
