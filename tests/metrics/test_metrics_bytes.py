"""The figures of the cache and the gateway, and those of HTTP, in a scrape and out of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from parparchik.cache import CacheStatistics, DiskStatistics
from parparchik.metrics import (
    CACHE_TYPE,
    STATS_TYPE,
    Exposition,
    Family,
    GroupExposition,
    Sum,
    Traffic,
)
from parparchik.objects import GatewayStatistics
from tests.metrics.test_metrics_exposition import OPENMETRICS, FakeSources, Samples, value


def nothing(kind: type[Any]) -> Any:
    """A statistics value with nothing in it."""
    empty = {"str": "", "bool": False, "int": 0, "float": 0.0}
    return kind(**{each.name: empty.get(str(each.type), ()) for each in fields(kind)})


CACHE: CacheStatistics = replace(
    nothing(CacheStatistics),
    hits=60,
    negative_hits=10,
    stale=3,
    revalidated=2,
    misses=25,
    bypassed=7,
    memory_bytes=1000,
    memory_items=11,
    evictions=4,
    evicted_at_s=1_777_975_200.5,
    original_bytes=4000,
    coded_bytes=1000,
    fills=5,
    fetched_bytes=123_456_789_012,
)
DISK: DiskStatistics = replace(
    nothing(DiskStatistics),
    bytes=5000,
    budget_bytes=9000,
    files=3,
    evictions=8,
    evicted_at_s=1_777_975_100.0,
    degraded="no space left",
    dropped=(("foreign", 2),),
    rebuilt=3,
    to_rebuild=10,
)


@dataclass
class FakeByteSources:
    memory_budget_bytes: int = 2000
    on_disk: DiskStatistics | None = field(default_factory=lambda: DISK)
    has_gateway: bool = True

    def cache(self) -> CacheStatistics:
        return CACHE

    def disk(self) -> DiskStatistics | None:
        return self.on_disk

    def gateway(self) -> GatewayStatistics | None:
        if not self.has_gateway:
            return None
        return GatewayStatistics((("own", "get", 5), ("own", "put", 2)), 3, 1)


@dataclass
class FakeMembers:
    families: list[list[Family]]
    alive: int = 2
    restarts: int = 0

    async def numbers(self) -> list[list[Family]]:
        await trio.lowlevel.checkpoint()
        return self.families


def busy() -> Traffic:
    """Three of the gateway's requests, in 0.6 s, and two others."""
    traffic = Traffic()
    traffic.counter("objects", 200, 5).add(0.1, 5)
    traffic.counter("objects", 200, 3_000_000).add(0.3, 3_000_000)
    traffic.counter("objects", 404, 40).add(0.2, 40)
    traffic.counter("bucket", 302).add(0.001)
    traffic.counter("status", 200, 1024).add(0.002, 1024)
    traffic.received(5000)
    return traffic


async def scrape(
    traffic: Traffic | None = None, sources: FakeByteSources | None = None, accept: str = ""
) -> Samples:
    exposition = Exposition(FakeSources(traffic or Traffic()), objects=sources or FakeByteSources())
    content_type, body = await exposition.render(accept)
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_the_names_of_the_contract(accept: str) -> None:
    samples = await scrape(busy(), accept=accept)
    assert value(samples, "http_requests_total") == 5
    assert value(samples, "http_response_status_total", code="200") == 3
    assert value(samples, "http_response_status_total", code="302") == 1
    assert value(samples, "http_response_status_total", code="404") == 1
    assert value(samples, "http_response_time_seconds_count", kind="objects") == 3
    assert value(samples, "http_response_time_seconds_sum", kind="objects") == pytest.approx(0.6)
    assert value(samples, "http_response_time_seconds_count", kind="redirect") == 1
    assert value(samples, "http_response_size_bytes_count") == 5
    assert value(samples, "http_response_size_bytes_sum") == 3_001_069
    assert value(samples, "http_response_size_bytes_bucket", le="0.0") == 1
    assert value(samples, "http_response_size_bytes_bucket", le="1024.0") == 4
    assert value(samples, "http_response_size_bytes_bucket", le="4.194304e+06") == 5
    assert value(samples, "http_request_size_bytes_count") == 5
    assert value(samples, "http_request_size_bytes_sum") == 5000
    assert value(samples, "http_request_size_bytes_bucket", le="0.0") == 4
    assert value(samples, "http_request_size_bytes_bucket", le="16384.0") == 5
    assert value(samples, "cache_hits_total") == 75
    assert value(samples, "cache_misses_total") == 25
    assert value(samples, "bucket_operations_total", bucket="own", operation="get") == 5
    assert value(samples, "bucket_operations_total", bucket="own", operation="put") == 2


async def test_sizes_are_told_apart_and_counted_together() -> None:
    traffic = busy()
    assert traffic.counter("objects", 200, 5) is traffic.counter("objects", 200, 6)
    assert traffic.counter("objects", 200, 5) is not traffic.counter("objects", 200, 5000)
    assert traffic.requests() == (
        ("bucket", 302, 1),
        ("objects", 200, 2),
        ("objects", 404, 1),
        ("status", 200, 1),
    )
    samples = await scrape(traffic)
    assert value(samples, "requests_total", kind="objects", status="200") == 2


async def test_the_cache() -> None:
    samples = await scrape()
    for status, count in (("hit", 60), ("absent", 10), ("miss", 25), ("bypass", 7)):
        assert value(samples, "cache_answers_total", status=status) == count
    for tier, held, limit, entries, evictions in (
        ("memory", 1000, 2000, 11, 4),
        ("disk", 5000, 9000, 3, 8),
    ):
        assert value(samples, "cache_bytes", tier=tier) == held
        assert value(samples, "cache_limit_bytes", tier=tier) == limit
        assert value(samples, "cache_entries", tier=tier) == entries
        assert value(samples, "cache_evictions_total", tier=tier) == evictions
    assert value(samples, "cache_fills") == 5
    assert value(samples, "cache_fetched_bytes_total") == 123_456_789_012
    assert value(samples, "cache_disk_degraded") == 1
    assert value(samples, "cache_disk_dropped_total", reason="foreign") == 2
    assert value(samples, "cache_disk_rebuilding_files") == 7


async def test_without_a_disk_and_without_a_gateway() -> None:
    samples = await scrape(sources=FakeByteSources(on_disk=None, has_gateway=False))
    assert value(samples, "cache_bytes", tier="memory") == 1000
    names = {name for name, _ in samples}
    assert not [name for name in names if "disk" in name or "bucket_operations" in name]


async def test_without_objects_there_is_no_cache() -> None:
    _, body = await Exposition(FakeSources()).render("")
    assert b"parparchik_cache" not in body
    assert b"parparchik_http_requests_total" in body


async def test_stats() -> None:
    exposition = Exposition(FakeSources(busy()), objects=FakeByteSources())
    content_type, body = await exposition.render(STATS_TYPE)
    assert content_type == "application/json"
    assert json.loads(body) == {
        "hits": 75,
        "misses": 25,
        "current_size_bytes": 6000,
        "max_size_bytes": 11_000,
        "entry_count": 14,
        "last_cleanup_time": "2026-05-05T10:00:00Z",
        "total_requests": 3,
        "cache_hit_ratio": 0.75,
        "avg_response_time_ms": 200.0,
        "compression_ratio": 0.25,
    }


async def test_stats_of_an_idle_process() -> None:
    exposition = Exposition(FakeSources())
    told = json.loads((await exposition.render(STATS_TYPE))[1])
    assert (told["cache_hit_ratio"], told["avg_response_time_ms"]) == (0, 0)
    assert told["compression_ratio"] == 1
    assert told["last_cleanup_time"] is None


async def test_figures_of_the_cache() -> None:
    exposition = Exposition(FakeSources(busy()), objects=FakeByteSources())
    told = json.loads((await exposition.render(CACHE_TYPE))[1])
    assert told["hits"] == 75
    assert told["bytes"] == {"memory": 1000, "disk": 5000}
    assert told["answers"]["revalidated"] == 2
    assert told["fetched_bytes"] == 123_456_789_012
    assert told["disk_dropped"] == {"foreign": 2}
    assert "requests_total" not in told


async def test_several_processes_are_one() -> None:
    own = Exposition(FakeSources())
    worker = Exposition(FakeSources(busy()), objects=FakeByteSources())
    group = GroupExposition(own, FakeMembers([worker.families(), worker.families()]))
    told = json.loads((await group.render(STATS_TYPE))[1])
    assert (told["hits"], told["total_requests"], told["max_size_bytes"]) == (150, 6, 22_000)
    assert (told["cache_hit_ratio"], told["avg_response_time_ms"]) == (0.75, 200.0)
    assert told["last_cleanup_time"] == "2026-05-05T10:00:00Z"


async def test_what_was_counted_outlives_who_counted() -> None:
    earlier = Sum()
    before = Exposition(FakeSources(), earlier, FakeByteSources())
    after = Exposition(FakeSources(), earlier, FakeByteSources())
    before.leave(earlier)
    told = json.loads((await after.render(STATS_TYPE))[1])
    assert told["hits"] == 150
    assert told["current_size_bytes"] == 6000
    idle = Exposition(FakeSources(), earlier)
    told = json.loads((await idle.render(STATS_TYPE))[1])
    assert told["last_cleanup_time"] == "2026-05-05T10:00:00Z", "of the one that has ended"
