"""What is written and counted of an answered request."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
import structlog

from parparchik.access import AccessLog, JSONLines, RequestIds, is_sane_request_id
from parparchik.config.model import LogConfig
from parparchik.metrics import Traffic
from parparchik.server.log import access_lines

SECRET = "an-api-key-of-ours"


class Stream(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.getvalue().splitlines()]


def log_to(stream: Stream, traffic: Traffic | None = None) -> AccessLog:
    lines = access_lines(LogConfig(format="json"), secrets=[SECRET], stream=stream)
    return AccessLog(traffic or Traffic(), lines)


def test_a_line_says_what_was_asked_and_answered() -> None:
    stream = Stream()
    log = AccessLog(Traffic(), JSONLines(stream, str, now=lambda: 1_763_661_600.25))
    record = log.prepare(
        method="GET", target=b"/b/k", status=302, kind="bucket", location=b"https://s3/b/k?x=1"
    )
    record.add(0.0012345, "::1", b"id-1")
    log.flush()
    assert stream.lines == [
        {
            "timestamp": "2025-11-20T18:00:00.250000Z",
            "level": "info",
            "event": "request",
            "request_id": "id-1",
            "method": "GET",
            "path": "/b/k",
            "status": 302,
            "kind": "bucket",
            "size": 0,
            "location": "https://s3/b/k?x=1",
            "duration_ms": 1.234,
            "client": "::1",
        }
    ]


def test_a_line_says_which_worker_wrote_it() -> None:
    stream = Stream()
    with structlog.contextvars.bound_contextvars(worker=3):
        log = log_to(stream)
    log.prepare(method="GET", target=b"/", status=404, kind="x").add(0.0, "c", b"i")
    log.flush()
    assert stream.lines[0]["worker"] == 3


def test_time_goes_on_from_line_to_line() -> None:
    stream, now = Stream(), iter([0.999_999, 1.0, 1.000_001, 86_400.5])
    log = AccessLog(Traffic(), JSONLines(stream, str, now=now.__next__))
    record = log.prepare(method="GET", target=b"/", status=404, kind="unknown")
    for _ in range(4):
        record.add(0.0, "c", b"i")
    log.flush()
    assert [line["timestamp"] for line in stream.lines] == [
        "1970-01-01T00:00:00.999999Z",
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T00:00:01.000001Z",
        "1970-01-02T00:00:00.500000Z",
    ]


def test_lines_are_written_together_in_their_order() -> None:
    stream = Stream()
    log = log_to(stream)
    record = log.prepare(method="GET", target=b"/b/k", status=200, kind="list")
    for number in range(100):
        record.add(0.0, "c", b"%d" % number)
    assert stream.writes == 0
    log.flush()
    log.flush()
    assert stream.writes == 1
    assert [line["request_id"] for line in stream.lines] == [str(n) for n in range(100)]


def test_lines_that_nobody_asks_for_do_not_pile_up() -> None:
    stream = Stream()
    record = log_to(stream).prepare(method="GET", target=b"/b/k", status=200, kind="list")
    for number in range(1000):
        record.add(0.0, "c", b"%d" % number)
    assert len(stream.lines) >= 700


@pytest.mark.parametrize("awkward", [b'"', b"\\", b'a"b\\c', b"\x7e"])
def test_a_request_id_breaks_no_line(awkward: bytes) -> None:
    stream = Stream()
    log = log_to(stream)
    log.prepare(method="GET", target=b'/b/"\\', status=404, kind="x").add(0.0, "c", awkward)
    log.flush()
    assert stream.lines[0]["request_id"] == awkward.decode()
    assert stream.lines[0]["path"] == '/b/"\\'


def test_no_secret_is_written_wherever_a_client_puts_it() -> None:
    stream = Stream()
    log = log_to(stream)
    record = log.prepare(
        method="GET",
        target=f"/b/{SECRET}?token=abc".encode(),
        status=302,
        kind="bucket",
        location=b"https://s3/b/k?X-Amz-Signature=abc",
    )
    record.add(0.0, "c", SECRET.encode())
    log.flush()
    assert SECRET not in stream.getvalue()
    assert "abc" not in stream.getvalue()
    assert stream.lines[0]["status"] == 302


@pytest.mark.parametrize(
    "config", [LogConfig(access=False), LogConfig(level="warning"), LogConfig(level="error")]
)
def test_nothing_is_written_where_nobody_wants_it(config: LogConfig) -> None:
    assert access_lines(config, stream=Stream()) is None


def test_every_record_is_counted_with_or_without_lines() -> None:
    for lines in (None, JSONLines(Stream(), str)):
        traffic = Traffic()
        log = AccessLog(traffic, lines)
        record = log.prepare(method="GET", target=b"/", status=302, kind="bucket")
        record.add(0.5, "c", b"i")
        record.add(0.5, "c", b"i")
        log.prepare(method="HEAD", target=b"/x", status=302, kind="bucket").add(0.5, "c", b"i")
        log.prepare(method="GET", target=b"/", status=404, kind="bucket").add(0.5, "c", b"i")
        log.prepare(method="GET", target=b"/", status=500, kind="bucket")
        assert traffic.requests() == (("bucket", 302, 3), ("bucket", 404, 1))
        assert traffic.redirect_seconds.snapshot().total == 1.5


def test_request_ids_are_sane_and_never_the_same() -> None:
    ids = RequestIds(), RequestIds()
    made = [each.new() for each in ids for _ in range(1000)]
    assert len(set(made)) == 2000
    assert all(is_sane_request_id(one) and len(one) == 32 for one in made)


@pytest.mark.parametrize("bad", [b"", b"a b", b"a\tb", b"\x7f", b"\xc3\xbc", b"x" * 129])
def test_what_is_no_sane_request_id(bad: bytes) -> None:
    assert not is_sane_request_id(bad)


def test_what_was_sent_is_counted_each_time() -> None:
    traffic = Traffic()
    record = AccessLog(traffic).prepare(
        method="GET", target=b"/objects/b/k", status=200, kind="objects", size_bytes=5000
    )
    for _ in range(3):
        record.add(0.1, "192.0.2.1", b"id")
    assert traffic.sent().total == 15_000
