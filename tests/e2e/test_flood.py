"""A flood of keys that nobody has: bounded memory, bounded HEADs, and no manifest written."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.processes import program
from tests.e2e.rclone import ENVIRON, free_port, rclone
from tests.plain_http import NO_TLS

REQUESTS = 100_000
BATCH = 100  # pipelined, so that the flood is not slower than what it floods
GROWTH_BYTES = 32 * 1024 * 1024


@pytest.fixture
def endpoint() -> Iterator[str]:
    """With an empty bucket."""
    with rclone({"flooded": ()}) as url:
        yield url


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def ask_for_unknown(url: str, numbers: range) -> None:
    """GET /flooded/unknown-<n> for all of `numbers`; every answer must be 404."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for start in range(numbers.start, numbers.stop, BATCH):
            connection.sendall(
                b"".join(
                    b"GET /flooded/unknown-%d-%b HTTP/1.1\r\nHost: x\r\n\r\n" % (n, b"k" * 50)
                    for n in range(start, start + BATCH)
                )
            )
            answered = b""
            while answered.count(b"HTTP/1.1 ") < BATCH or not answered.endswith(b"}"):
                piece = connection.recv(1 << 16)
                assert piece
                answered += piece
            assert answered.count(b"HTTP/1.1 404") == BATCH


def sum_of(url: str, metric: str) -> float:
    text = httpx.get(f"{url}/metrics", verify=NO_TLS).text
    return sum(
        float(line.rpartition(" ")[2]) for line in re.findall(rf"^{metric}{{.*", text, re.MULTILINE)
    )


def test_a_hundred_thousand_unknown_keys(endpoint: str) -> None:
    environ = ENVIRON | {
        "PARPARCHIK_BUCKETS": "flooded",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": str(free_port()),
        "PARPARCHIK_ACCESS_LOG": "false",
        "S3_ENDPOINT": endpoint,
    }
    url = f"http://127.0.0.1:{environ['PARPARCHIK_PORT']}"
    with program("serve", environ=environ) as server:
        server.wait_for("listening")
        while httpx.get(f"{url}/readiness", verify=NO_TLS).status_code != 200:
            time.sleep(0.05)
        ask_for_unknown(url, range(REQUESTS // 5))
        before = resident_bytes(server.process.pid)
        written = sum_of(url, "parparchik_manifest_writes_total")
        ask_for_unknown(url, range(REQUESTS // 5, REQUESTS))
        assert resident_bytes(server.process.pid) - before < GROWTH_BYTES
        assert sum_of(url, "parparchik_manifest_writes_total") == written
        assert httpx.get(f"{url}/list", verify=NO_TLS).json()["count"] == 0
        assert server.end(signal.SIGTERM) == 0
