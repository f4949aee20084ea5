"""Sinks in a scrape."""

from __future__ import annotations

from parparchik.metrics import Exposition, SinkStatistics, Sum
from tests.metrics.test_metrics_exposition import FakeSources

SINKS = (
    SinkStatistics("influx", "a:1", sent=5, dropped=2, refused=1, failures=3, waiting=4),
    SinkStatistics("mongodb", "b:2", sent=6, dropped=0, refused=0, failures=0, waiting=0),
)


async def test_what_became_of_figures() -> None:
    _, body = await Exposition(FakeSources(), sinks=lambda: SINKS).render("")
    lines = body.decode().splitlines()
    for line in (
        'parparchik_sink_requests_total{kind="influx",outcome="dropped",server="a:1"} 2.0',
        'parparchik_sink_requests_total{kind="mongodb",outcome="sent",server="b:2"} 6.0',
        'parparchik_sink_failures_total{kind="influx",server="a:1"} 3.0',
        'parparchik_sink_waiting{kind="influx",server="a:1"} 4.0',
    ):
        assert line in lines


async def test_without_sinks_nothing_is_said_of_them() -> None:
    _, body = await Exposition(FakeSources()).render("")
    assert b"sink" not in body


async def test_counters_go_on_when_the_settings_change() -> None:
    earlier = Sum()
    Exposition(FakeSources(), sinks=lambda: SINKS).leave(earlier)
    _, body = await Exposition(FakeSources(), earlier, sinks=lambda: SINKS[:1]).render("")
    sent = 'parparchik_sink_requests_total{kind="influx",outcome="sent",server="a:1"} 10.0'
    assert sent in body.decode().splitlines()
