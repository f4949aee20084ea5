"""The dedup store in a scrape."""

from __future__ import annotations

from dataclasses import replace

from parparchik.dedup import CleanReport, Counters, DedupStatistics, StoreStatistics, Totals
from parparchik.metrics import Exposition, GroupExposition, Sum
from tests.metrics.test_metrics_bytes import FakeMembers
from tests.metrics.test_metrics_exposition import FakeSources

STORE = StoreStatistics(
    counters=Counters(hits=1, misses=2, puts=3, deletes=4, uploads=5, skipped=6, missing=7),
    refused=8,
    receiving=9,
    waiting_writers=10,
    spooled_memory_bytes=11,
    spooled_disk_bytes=12,
)
STATISTICS = DedupStatistics(
    store=STORE,
    totals=Totals(
        files=10, blobs=4, logical_bytes=1000, stored_bytes=250, orphans=1, garbage=2, lost=3
    ),
    passes=3,
    failed_passes=1,
    cleaned=CleanReport(deleted=5, missing=1),
    asked=(("get", 20, 1, 0.5),),
    fetched=6,
    failed_fetches=2,
    cleaned_s=1234.0,
)


async def scrape(exposition: Exposition | GroupExposition) -> list[str]:
    _, body = await exposition.render("")
    return body.decode().splitlines()


async def test_everything_is_told() -> None:
    lines = await scrape(Exposition(FakeSources(), dedup=lambda: STATISTICS))
    for line in (
        "files 10.0",
        "blobs 4.0",
        "logical_bytes 1000.0",
        "stored_bytes 250.0",
        "ratio 4.0",
        "hits_total 1.0",
        "misses_total 2.0",
        "puts_total 3.0",
        "uploads_total 5.0",
        "uploads_skipped_total 6.0",
        "missing_blobs_total 7.0",
        "uploads_refused_total 8.0",
        "receiving 9.0",
        "spooled_disk_bytes 12.0",
        'clean_passes_total{outcome="done"} 3.0',
        'clean_passes_total{outcome="failed"} 1.0',
        "last_clean_deleted 5.0",
        "last_clean_missing 1.0",
        "last_clean_timestamp_seconds 1234.0",
        "lost_blobs 3.0",
        'fetches_total{outcome="done"} 6.0',
        'fetches_total{outcome="failed"} 2.0',
        'metadata_operations_total{operation="get"} 20.0',
        'metadata_errors_total{operation="get"} 1.0',
        'metadata_seconds_total{operation="get"} 0.5',
    ):
        assert f"parparchik_dedup_{line}" in lines


async def test_what_is_not_known_yet_is_not_told() -> None:
    unknown = replace(STATISTICS, totals=None, cleaned=None)
    lines = await scrape(Exposition(FakeSources(), dedup=lambda: unknown))
    assert not any("dedup_files" in line or "last_clean" in line for line in lines)


async def test_an_empty_store_has_a_ratio() -> None:
    empty = replace(STATISTICS, totals=Totals(0, 0, 0, 0, 0, 0))
    lines = await scrape(Exposition(FakeSources(), dedup=lambda: empty))
    assert "parparchik_dedup_ratio 1.0" in lines


async def test_without_a_store_nothing_is_said_of_it() -> None:
    assert not any("dedup" in line for line in await scrape(Exposition(FakeSources())))


async def test_workers_count_what_each_does_and_what_all_have_once() -> None:
    worker = Exposition(FakeSources(), dedup=lambda: STATISTICS)
    members = FakeMembers([worker.families(), worker.families()])
    lines = await scrape(GroupExposition(Exposition(FakeSources()), members))
    assert "parparchik_dedup_puts_total 6.0" in lines
    assert "parparchik_dedup_files 10.0" in lines
    assert "parparchik_dedup_ratio 4.0" in lines
    assert "parparchik_dedup_last_clean_deleted 5.0" in lines


async def test_counters_go_on_when_the_settings_change() -> None:
    earlier = Sum()
    Exposition(FakeSources(), dedup=lambda: STATISTICS).leave(earlier)
    lines = await scrape(Exposition(FakeSources(), earlier, dedup=lambda: STATISTICS))
    assert "parparchik_dedup_puts_total 6.0" in lines
    assert "parparchik_dedup_files 10.0" in lines
