"""Every redirect verified, and S3 fails in every way that a connection allows: a server as users
run it tells nobody a lie, loses nothing, and is as before when S3 is."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import faulty_s3 as faults
from tests.e2e.faulty_s3 import BUCKET, SIZES, FaultyS3
from tests.real_s3.serving import Server, serving

CONNECTIONS = 4
PROBES = 3
ROUNDS = 2
Fault = Callable[[FaultyS3, socket.socket, str], None]

UNHARMED: tuple[Fault, ...] = (
    faults.single_bytes,
    faults.twice,
    faults.closing,
    faults.with_a_body,
    faults.chunked,
    faults.interim,
    faults.slow,
)
NO_ANSWER: tuple[Fault, ...] = (
    faults.hang,
    faults.reset,
    faults.close,
    faults.half_a_head,
    faults.half_a_head_then_nothing,
    faults.garbage,
)


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with faults.faulty_s3() as s3:
        yield s3


@pytest.fixture(scope="module")
def strict(s3: FaultyS3) -> Iterator[Server]:
    """One for all: it has to survive them."""
    environ = {
        "PARPARCHIK_BUCKETS": BUCKET,
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_VERIFY": "always",
        "PARPARCHIK_NEGATIVE_TTL": "0",
        "PARPARCHIK_PROBE_TIMEOUT": "0.3",
        "PARPARCHIK_S3_RETRIES": "0",
        "PARPARCHIK_S3_CONNECTIONS": str(CONNECTIONS),
        "PARPARCHIK_MAX_PROBES": str(PROBES),
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    with serving(environ) as server:
        yield server


@pytest.fixture(scope="module")
def descriptors(strict: Server) -> int:
    """That it may have open: connections to S3, and our clients'."""
    return open_descriptors(strict) + CONNECTIONS + len(SIZES)


@pytest.fixture
def server(strict: Server, s3: FaultyS3, descriptors: int) -> Iterator[Server]:
    """As it was before, also afterwards."""
    recover(strict, s3)
    yield strict
    recover(strict, s3)
    listed = {entry["key"]: entry["size"] for entry in listing(strict)}
    assert listed == SIZES
    strict.until(lambda: open_descriptors(strict) <= descriptors)
    assert strict.get("/readiness").status_code == 200
    assert "crashed" not in strict.process.output
    assert "Traceback" not in strict.process.output


def listing(server: Server) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = server.get("/list").json()["files"]
    return files


def recover(server: Server, s3: FaultyS3) -> None:
    s3.heal()
    for key in SIZES:
        server.until(lambda key=key: verified(server.file(BUCKET, key)) == "fresh")  # type: ignore[misc]


def verified(answer: httpx.Response) -> str | None:
    value: str | None = answer.headers.get("x-parparchik-verified")
    return value


def open_descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.process.pid}/fd").iterdir()))


def processor_s(server: Server) -> float:
    fields = Path(f"/proc/{server.process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_s_while_idle(server: Server) -> float:
    """Of one second in which nobody asks."""
    before_s = processor_s(server)
    time.sleep(1)
    return processor_s(server) - before_s


def ask_all(server: Server) -> list[httpx.Response]:
    """Each key, all at once; each answer is for its own key, whatever it says."""
    with ThreadPoolExecutor(len(SIZES)) as clients:
        answers = list(clients.map(lambda key: server.file(BUCKET, key), SIZES))
    for key, answer in zip(SIZES, answers, strict=True):
        if answer.status_code == 302:
            assert f"/{BUCKET}/{key}?" in answer.headers["location"]
    return answers


@pytest.mark.parametrize("fault", UNHARMED)
def test_odd_but_sound_answers_count(server: Server, s3: FaultyS3, fault: Fault) -> None:
    s3.break_down(fault)
    s3.most_under_way = 0
    for _ in range(ROUNDS):
        assert {(a.status_code, verified(a)) for a in ask_all(server)} == {(302, "fresh")}
    assert server.file(BUCKET, "unknown").status_code == 404
    assert s3.most_under_way <= PROBES + 1, "one more may be between an answer and the next line"


def test_an_answer_that_came_before_it_was_asked_for_is_nobodys(
    server: Server, s3: FaultyS3
) -> None:
    s3.break_down(faults.before_it_is_asked)
    for key in SIZES:
        s3.unasked.clear()
        answer = server.file(BUCKET, key)
        assert (answer.status_code, verified(answer)) == (302, "fresh")
        assert s3.unasked.wait(10)
    assert processor_s_while_idle(server) < 0.3


@pytest.mark.parametrize("fault", NO_ANSWER)
def test_no_answer_is_no_absence(server: Server, s3: FaultyS3, fault: Fault) -> None:
    for _ in range(ROUNDS):
        s3.break_down(fault)
        assert {(a.status_code, verified(a)) for a in ask_all(server)} == {(302, "stale")}
        recover(server, s3)  # what hung now says 404, to nobody
        assert {(a.status_code, verified(a)) for a in ask_all(server)} == {(302, "fresh")}


@pytest.mark.parametrize("fault", [faults.hang, faults.half_a_head_then_nothing])
def test_waiting_costs_nothing(server: Server, s3: FaultyS3, fault: Fault) -> None:
    s3.break_down(fault)
    ask_all(server)
    assert processor_s_while_idle(server) < 0.3


@pytest.mark.parametrize(
    ("status", "code", "unknown"),
    [
        (500, "InternalError", 503),
        (503, "SlowDown", 503),
        (403, "AccessDenied", 502),
        (403, "SignatureDoesNotMatch", 502),
        (404, "NoSuchBucket", 502),
    ],
)
def test_errors_are_no_absence(
    server: Server, s3: FaultyS3, status: int, code: str, unknown: int
) -> None:
    for _ in range(ROUNDS):
        s3.error = (status, code)
        assert {(a.status_code, verified(a)) for a in ask_all(server)} == {(302, "stale")}
        assert server.file(BUCKET, "unknown").status_code == unknown
        recover(server, s3)


def test_a_client_that_leaves_takes_nothing_along(server: Server, s3: FaultyS3) -> None:
    s3.break_down(faults.hang)
    host, _, port = server.url.removeprefix("http://").partition(":")
    for key in [*SIZES] * 4:
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    s3.heal()
    recover(server, s3)
