"""A process with limits and traces, as its clients, its S3 and its log have it: on the edge, and on
the web plane, where a connection is from its first request to the management API on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.e2e.bytes_s3 import BUCKET, BytesS3, bytes_s3
from tests.e2e.test_bytes import environ_of
from tests.plain_http import NO_TLS
from tests.real_s3.serving import Server, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.fixture
def s3() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        yield s3


@contextmanager
def client(server: Server, plane: str) -> Iterator[httpx.Client]:
    """With one connection, on that plane."""
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=server.url, limits=limits, timeout=10, verify=NO_TLS) as one:
        if plane == "web":
            assert one.get("/healthcheck").status_code == 200
        yield one


def lines(server: Server, path: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def are_there() -> bool:
        said = [json.loads(line) for line in server.process.output.splitlines() if path in line]
        found[:] = [line for line in said if line["event"] == "request"]
        return len(found) == count

    server.until(are_there)
    return found


@pytest.mark.parametrize("plane", ["edge", "web"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_that_asks_too_often_is_told(s3: BytesS3, plane: str, workers: str) -> None:
    s3.put("k", b"data")
    limits = {"PARPARCHIK_REQUESTS_PER_SECOND": "1", "PARPARCHIK_BURST": "6"}
    keys = {"PARPARCHIK_API_KEYS": "one-key-of-sixteen,other-key-of-sixteen"}
    allowed = 6 // int(workers)  # over one connection it is one worker that answers
    with (
        serving(environ_of(s3, PARPARCHIK_WORKERS=workers, **limits, **keys)) as server,
        client(server, plane) as http,
    ):
        key = {"X-API-Key": "one-key-of-sixteen"}
        answers = [http.get(f"/objects/{BUCKET}/k", headers=key) for _ in range(20)]
        assert [answer.status_code for answer in answers[:allowed]] == [200] * allowed
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 20 - allowed - 5  # a slow machine earns tokens meanwhile
        assert refused[0].json() == {"error": "too many requests"}
        assert refused[0].headers["retry-after"] in ("1", "2")
        other = {"X-API-Key": "other-key-of-sixteen"}
        assert http.get(f"/objects/{BUCKET}/k", headers=other).status_code == 200
        for path in ("/healthcheck", "/readiness", "/health", "/metrics"):
            assert http.get(path, headers=key).status_code == 200
        assert 'status="429"' in http.get("/metrics").text


@pytest.mark.parametrize("plane", ["edge", "web"])
@pytest.mark.parametrize("passes_on", [True, False])
def test_a_trace_goes_to_the_log_and_to_s3(s3: BytesS3, plane: str, passes_on: bool) -> None:
    s3.put("a", b"data")
    s3.put("b", b"data")
    trace = {"PARPARCHIK_TRACE": "true"} if passes_on else {}
    with serving(environ_of(s3, **trace)) as server, client(server, plane) as http:
        assert http.get(f"/objects/{BUCKET}/a", headers=TRACEPARENT).status_code == 200
        assert http.get(f"/objects/{BUCKET}/b").status_code == 200
        (traced,) = lines(server, f"/{BUCKET}/a", 1)
        (plain,) = lines(server, f"/{BUCKET}/b", 1)
    assert (traced["trace_id"], traced["span_id"]) == (TRACE, SPAN)
    assert not {"trace_id", "span_id"} & plain.keys()
    told = [asked.traceparent for asked in s3.gets("a")]
    assert told
    for traceparent in told:
        assert (traceparent[:36] == f"00-{TRACE}-") is passes_on
        assert SPAN not in traceparent
        assert bool(traceparent) is passes_on
    assert {asked.traceparent for asked in s3.gets("b")} == {""}
