"""Where a client is, and what is observed of its requests."""

from __future__ import annotations

from pathlib import Path

import structlog
import trio

from parparchik.access import AccessLog, Observation
from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.metrics import Traffic
from parparchik.sinks import Sinks
from parparchik.sinks.batches import Note
from parparchik.sinks.location import LocationDatabase
from parparchik.sinks.measurement import NOWHERE
from tests.sinks.maxmind import city, database
from tests.sinks.scene import PATIENCE_S, SEEN, running


def write(path: Path, data: bytes) -> None:
    """As whoever overwrites a file in place, with another time of change each time."""
    path.write_bytes(data)


async def test_locations(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write(path, database({"192.0.2.0/24": city("Bad Homburg"), "198.51.100.0/24": {"x": 1}}))
    config = SinksConfig(
        (SinkConfig("influx", "tcp://127.0.0.1:1"),),
        location_database=path,
        trusted_proxies=("10.0.0.0/8",),
    )
    sinks = Sinks(config)
    async with running(sinks):
        with trio.fail_after(PATIENCE_S):
            while sinks.measure(Note(1, SEEN, 0.1, "10.0.0.1")).location is NOWHERE:  # noqa: ASYNC110
                await trio.sleep(0.01)
        there = sinks.measure(Note(1, SEEN, 0.1, "10.0.0.1"))
        assert there.address == "192.0.2.9"
        assert there.location.city == "Bad Homburg"
        assert there.location.country_iso_code == "DE"
        assert there.location.subdivision == "Hesse"
        assert (there.location.latitude, there.location.longitude) == (50.5, -8.25)
        for peer in ("198.51.100.1", "203.0.113.1", "2001:db8::1", "unix:"):
            where = sinks.measure(Note(1, SEEN, 0.1, peer)).location
            assert (where.city, where.latitude) == ("", None)


def test_a_location_database_is_read_again_when_it_is_another(tmp_path: Path) -> None:
    path, other = tmp_path / "city.mmdb", tmp_path / "new.mmdb"
    locations = LocationDatabase(path)
    locations.refresh()
    assert locations.locate("192.0.2.1") is NOWHERE
    write(path, database({"192.0.2.0/24": city("Old")}))
    locations.refresh()
    assert locations.locate("192.0.2.1").city == "Old"
    write(path, b"half of")  # in place, while it is used
    assert locations.locate("192.0.2.2").city == "Old"
    with structlog.testing.capture_logs() as logs:
        locations.refresh()
        locations.refresh()
    assert len(logs) == 1
    assert locations.locate("192.0.2.3").city == "Old"
    write(other, database({"192.0.2.0/24": city("Brand new")}))
    other.replace(path)
    locations.refresh()
    assert locations.locate("192.0.2.1").city == "Brand new"


def test_every_request_is_observed_with_what_was_answered() -> None:
    seen: list[tuple[Observation, float, str]] = []
    log = AccessLog(Traffic(), observe=lambda *given: seen.append(given))
    record = log.prepare(
        method="GET",
        target=b"/a?token=s3cret",
        status=200,
        kind="site",
        size_bytes=7,
        headers=((b"content-type", b"text/css"), (b"content-encoding", b"br")),
        forwarded_for=b"192.0.2.1, 10.0.0.1",
    )
    record.add(0.5, "10.0.0.2", b"id")
    record.add(0.25, "10.0.0.3", b"id")
    common = Observation(
        "GET", "/a?token=[redacted]", 200, "text/css", True, 7, "192.0.2.1, 10.0.0.1"
    )
    assert seen == [(common, 0.5, "10.0.0.2"), (common, 0.25, "10.0.0.3")]


def test_what_a_client_can_have_kept_is_bounded() -> None:
    seen: list[Observation] = []
    log = AccessLog(Traffic(), observe=lambda common, *_: seen.append(common))
    hops = b"1.1.1.1, " * 1000 + b"192.0.2.1"
    log.prepare(
        method="GET", target=b"/" + b"a" * 8000, status=404, kind="x", forwarded_for=hops
    ).add(0.1, "::1", b"id")
    assert len(seen[0].resource) == 1024
    assert len(seen[0].forwarded_for) == 1024
    assert seen[0].forwarded_for.endswith("192.0.2.1")
