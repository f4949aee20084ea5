"""What a Prometheus server is given, read back by Prometheus' own parsers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from parparchik import __version__
from parparchik.metrics import ConnectionStatistics, Exposition, Sum, Traffic
from parparchik.registry import RegistryStatistics, ServiceStatistics
from parparchik.s3 import LATENCY_BOUNDS_S, OperationStatistics, S3Statistics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@dataclass
class FakeSources:
    traffic: Traffic = field(default_factory=Traffic)
    is_ready: bool = True
    buckets: int = 1

    def service(self) -> ServiceStatistics:
        return ServiceStatistics(
            registry=RegistryStatistics(
                files=(("photos", 3), ("empty", 0)), duplicates=2, week=1, month=3
            ),
            ready=True,
            verifications=(("fresh", 7), ("stale", 4)),
            stale_answers=4,
            manifest_writes=(("photos", "written", 5), ("photos", "failed", 1)),
            reachable=(("photos", True), ("empty", False)),
            errors=(),
        )

    def s3(self) -> S3Statistics:
        latencies = [0] * (len(LATENCY_BOUNDS_S) + 1)
        latencies[0], latencies[2], latencies[-1] = 4, 3, 1
        heads = tuple(
            OperationStatistics(
                bucket=f"photos{number or ''}",
                operation="head",
                outcomes=(("ok", 6), ("absent", 2)),
                latency_counts=tuple(latencies),
                seconds=61.5,
                retries=9,
            )
            for number in range(self.buckets)
        )
        return S3Statistics(operations=heads, pools=())

    def connections(self) -> ConnectionStatistics:
        return ConnectionStatistics(
            open=(("edge", 3), ("web", 1)),
            accepted=9,
            handed_over=2,
            accept_pauses=1,
            failed_handshakes=4,
            truncated=5,
            refused=(("bad Host", 5),),
            timed_out=(("head", 6),),
        )

    def ready(self) -> bool:
        return self.is_ready

    def restarts(self) -> tuple[tuple[str, int], ...]:
        return (("manifest writer", 2),)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(sources: FakeSources, accept: str = "") -> Samples:
    content_type, body = await Exposition(sources).render(accept)
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"parparchik_{name}", frozenset(labels.items())]


async def test_connections_of_clients() -> None:
    samples = await scrape(FakeSources())
    assert value(samples, "connections", plane="edge") == 3
    assert value(samples, "connections_accepted_total") == 9
    assert value(samples, "connections_handed_over_total") == 2
    assert value(samples, "accept_pauses_total") == 1
    assert value(samples, "tls_handshakes_failed_total") == 4
    assert value(samples, "answers_truncated_total") == 5
    assert value(samples, "requests_refused_total", reason="bad Host") == 5
    assert value(samples, "client_timeouts_total", waiting_for="head") == 6


async def test_counters_outlive_the_sources_that_counted() -> None:
    earlier = Sum()
    before, after = Exposition(FakeSources(), earlier), Exposition(FakeSources(), earlier)
    before.leave(earlier)
    _, body = await after.render("")
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }
    assert value(samples, "manifest_writes_total", bucket="photos", outcome="written") == 10
    assert value(samples, "s3_request_seconds_count", bucket="photos", operation="head") == 16
    # What the process as a whole has is not counted twice.
    assert value(samples, "task_restarts_total", task="manifest writer") == 2
    assert value(samples, "volume_files", volume="photos") == 3


async def test_the_gauges_of_the_contract() -> None:
    samples = await scrape(FakeSources())
    assert value(samples, "volume_files", volume="photos") == 3
    assert value(samples, "volume_files", volume="empty") == 0
    assert value(samples, "duplicate_files") == 2
    assert value(samples, "uploads_per_week") == 1
    assert value(samples, "uploads_per_month") == 3


@pytest.mark.parametrize("accept", ["", "text/plain; version=1.0.0", OPENMETRICS, "*/*"])
async def test_everything_else_in_every_format(accept: str) -> None:
    sources = FakeSources()
    sources.traffic.counter("bucket", 302).add(0.002)
    sources.traffic.counter("bucket", 302).add(20.0)
    sources.traffic.counter("bucket", 404).add(0.001)
    samples = await scrape(sources, accept)
    assert value(samples, "registry_files") == 3
    assert value(samples, "requests_total", kind="bucket", status="302") == 2
    assert value(samples, "requests_total", kind="bucket", status="404") == 1
    assert value(samples, "redirect_seconds_count") == 2
    assert value(samples, "redirect_seconds_sum") == pytest.approx(20.002)
    assert value(samples, "redirect_seconds_bucket", le="0.001") == 0
    assert value(samples, "redirect_seconds_bucket", le="0.0025") == 1
    assert value(samples, "redirect_seconds_bucket", le="10.0") == 1
    assert value(samples, "redirect_seconds_bucket", le="+Inf") == 2
    s3 = {"bucket": "photos", "operation": "head"}
    assert value(samples, "s3_requests_total", **s3, outcome="absent") == 2
    assert value(samples, "s3_retries_total", **s3) == 9
    assert value(samples, "s3_request_seconds_count", **s3) == 8
    assert value(samples, "s3_request_seconds_sum", **s3) == 61.5
    assert value(samples, "s3_request_seconds_bucket", **s3, le="0.0005") == 4
    assert value(samples, "s3_request_seconds_bucket", **s3, le="0.0025") == 7
    assert value(samples, "s3_request_seconds_bucket", **s3, le="30.0") == 7
    assert value(samples, "s3_up", bucket="photos") == 1
    assert value(samples, "s3_up", bucket="empty") == 0
    assert value(samples, "verifications_total", outcome="fresh") == 7
    assert value(samples, "stale_answers_total") == 4
    assert value(samples, "manifest_writes_total", bucket="photos", outcome="failed") == 1
    assert value(samples, "ready") == 1
    assert value(samples, "task_restarts_total", task="manifest writer") == 2
    labels = {labels for name, labels in samples if name == "parparchik_build_info"}
    assert ("version", __version__) in next(iter(labels))


async def test_not_ready() -> None:
    assert value(await scrape(FakeSources(is_ready=False)), "ready") == 0


async def test_process_and_platform_are_there_and_nobody_elses_metrics() -> None:
    names = {name for name, _ in await scrape(FakeSources())}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert {name.partition("_")[0] for name in names} == {"parparchik", "process", "python"}


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", b"\n# EOF\n"),
    ],
)
async def test_the_format_is_negotiated(accept: str, content_type: str, end: bytes) -> None:
    answered, body = await Exposition(FakeSources()).render(accept)
    assert answered.startswith(content_type)
    assert body.endswith(end)
    assert body.count(b"# EOF") == end.count(b"# EOF")


async def test_bucket_names_are_escaped() -> None:
    class Odd(FakeSources):
        def restarts(self) -> tuple[tuple[str, int], ...]:
            return (('quote " and \\ and\nline', 1),)

    samples = await scrape(Odd())
    assert value(samples, "task_restarts_total", task='quote " and \\ and\nline') == 1


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_metrics_with_thousands_of_samples_come_whole_and_others_run_meanwhile(
    accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = FakeSources(buckets=100)
    samples = await scrape(sources, accept)
    assert len([name for name, _ in samples if name.endswith("s3_request_seconds_bucket")]) == 1600
    assert value(samples, "s3_request_seconds_count", bucket="photos99", operation="head") == 8

    def own(body: bytes) -> list[bytes]:  # the other collectors' numbers change
        return [line for line in body.splitlines() if b"parparchik" in line]

    sliced = await Exposition(sources).render(accept)
    monkeypatch.setattr("parparchik.metrics.exposition.SLICE_SAMPLES", 10**9)
    whole = await Exposition(sources).render(accept)
    assert own(sliced[1]) == own(whole[1])
