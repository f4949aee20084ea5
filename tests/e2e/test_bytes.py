"""The object gateway as a process of its own: what large objects and a bad S3 make of it."""

from __future__ import annotations

import hashlib
import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.bytes_s3 import BUCKET, BytesS3, bytes_s3
from tests.plain_http import NO_TLS
from tests.real_s3.serving import Server, serving

MEBI = 1 << 20
LARGE = 50 * MEBI
CLIENTS = 100


def content(size_bytes: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


@pytest.fixture(scope="module")
def s3_of_all() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        s3.put("large", content(LARGE))
        yield s3


@pytest.fixture
def s3(s3_of_all: BytesS3) -> BytesS3:
    s3_of_all.mend()
    return s3_of_all


def environ_of(s3: BytesS3, **more: str) -> dict[str, str]:
    return {
        "ALLOWED_BUCKETS": f"{BUCKET}:all",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_S3_READ_TIMEOUT": "5",
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **more,
    }


@pytest.fixture(params=["memory", "disk"])
def server(s3: BytesS3, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    more = {"PARPARCHIK_CACHE_DIR": str(tmp_path / "cache")} if request.param == "disk" else {}
    with serving(environ_of(s3, **more)) as server:
        yield server


def url_of(server: Server, key: str) -> str:
    return f"{server.url}/objects/{BUCKET}/{key}"


def digest_of(url: str) -> str:
    digest = hashlib.sha256()
    with httpx.stream("GET", url, timeout=120, verify=NO_TLS) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            digest.update(piece)
    return digest.hexdigest()


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_hundred_cold_gets_are_one_at_s3(server: Server, s3: BytesS3) -> None:
    wanted = hashlib.sha256(s3.objects["large"]).hexdigest()
    server.get("/healthcheck")
    before = resident_bytes(server)
    with ThreadPoolExecutor(CLIENTS) as pool:
        digests = list(pool.map(digest_of, [url_of(server, "large")] * CLIENTS))
    assert set(digests) == {wanted}
    assert len(s3.gets("large")) == 1, s3.asked
    assert resident_bytes(server) - before < 64 * MEBI


def test_a_slow_reader_beside_fast_ones(server: Server, s3: BytesS3) -> None:
    """It gets its bytes, and costs the others nothing."""
    wanted = s3.objects["large"]
    where = urlsplit(url_of(server, "large"))
    slow = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    slow.connect()
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    slow.request("GET", where.path)
    reply = slow.getresponse()
    first = reply.read(1000)
    for _ in range(3):
        assert digest_of(url_of(server, "large")) == hashlib.sha256(wanted).hexdigest()
    assert first + reply.read() == wanted
    slow.close()
    assert len(s3.gets("large")) < 10


def test_s3_dies_within_every_body(server: Server, s3: BytesS3) -> None:
    """The client sees an error or a transfer that broke, never a short answer that looks whole.
    No piece of the object ever comes whole, however often S3 is asked."""
    s3.gone_after_bytes = 3 * MEBI
    for _ in range(5):
        with httpx.stream("GET", url_of(server, "large"), timeout=60, verify=NO_TLS) as answer:
            assert answer.status_code in (200, 502)
            if answer.status_code == 200:
                with pytest.raises(httpx.TransportError):
                    answer.read()
    s3.mend()
    assert digest_of(url_of(server, "large")) == hashlib.sha256(s3.objects["large"]).hexdigest()


def test_s3_dies_within_a_body_and_is_well_again(server: Server, s3: BytesS3) -> None:
    """A reader in a piece that is whole goes on with the next, which S3 is asked for again. Only
    who was waiting for the broken one is told; nobody gets a wrong byte."""
    wanted = s3.objects["large"]
    s3.gone_after_bytes, s3.times_gone = 20 * MEBI, 1
    where = urlsplit(url_of(server, "large"))
    slow = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    slow.connect()
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    slow.request("GET", where.path)
    reply = slow.getresponse()
    first = reply.read(1000)
    server.until(lambda: not s3.times_gone)
    assert first + reply.read() == wanted
    slow.close()
    assert digest_of(url_of(server, "large")) == hashlib.sha256(wanted).hexdigest()


SLOW_TO_DELETE = """
import os, time
unlink = os.unlink
def slowly(*args, **settings):
    time.sleep(0.003)
    unlink(*args, **settings)
os.unlink = slowly
"""


def test_a_write_outlives_the_process(s3: BytesS3, tmp_path: Path) -> None:
    """kill -9 right after a write was acknowledged: what was there before does not come back,
    though it could not be deleted so soon."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_DELETE)
    more = {
        "PYTHONPATH": str(tmp_path),
        "PARPARCHIK_CACHE_DIR": str(tmp_path / "cache"),
        "PARPARCHIK_CACHE_SLICE": "64KiB",
        "PARPARCHIK_CACHE_MEMORY_OBJECT": "0",
    }
    old = content(10 * MEBI, 1)
    s3.put("written", old)
    with serving(environ_of(s3, **more)) as server:
        assert digest_of(url_of(server, "written")) == hashlib.sha256(old).hexdigest()
        pieces = len(old) // (64 << 10)
        server.until(lambda: len(list(tmp_path.glob("cache/??/??/*"))) == pieces)
        answer = httpx.put(url_of(server, "written"), verify=NO_TLS, content=b"new", timeout=60)
        server.process.process.kill()
        assert answer.status_code == 200
    with serving(environ_of(s3, **more)) as server:
        server.until(lambda: "disk cache: read in" in server.process.output)
        for first in range(100, len(old), 64 << 10):
            span = {"range": f"bytes={first}-{first + 99}"}
            answer = server.http.get(url_of(server, "written"), headers=span)
            assert answer.status_code == 416, "a piece has come back"
        answer = server.http.get(url_of(server, "written"))
        assert (answer.status_code, answer.content) == (200, b"new")


def test_a_failing_s3_is_never_an_absence(server: Server, s3: BytesS3) -> None:
    s3.status = 503
    answer = httpx.get(url_of(server, "small-and-unknown"), verify=NO_TLS, timeout=90)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    s3.mend()
    assert httpx.get(url_of(server, "small-and-unknown"), verify=NO_TLS).status_code == 404


def test_what_is_cached_outlives_an_outage(server: Server, s3: BytesS3) -> None:
    s3.put("page", b"as it was")
    s3.headers["Cache-Control"] = "max-age=1"
    assert httpx.get(url_of(server, "page"), verify=NO_TLS).headers["x-cache"] == "MISS"
    assert httpx.get(url_of(server, "page"), verify=NO_TLS).headers["x-cache"] == "HIT"
    s3.status = 503
    time.sleep(1.2)
    answer = httpx.get(url_of(server, "page"), verify=NO_TLS, timeout=90)
    assert (answer.status_code, answer.content) == (200, b"as it was")
    assert answer.headers["x-cache"] == "STALE"


def test_a_seek_fetches_what_it_needs(server: Server, s3: BytesS3) -> None:
    before = s3.sent_bytes
    answer = httpx.get(
        url_of(server, "large"), verify=NO_TLS, headers={"range": f"bytes={LARGE - 100}-"}
    )
    assert (answer.status_code, answer.content) == (206, s3.objects["large"][-100:])
    assert s3.sent_bytes - before <= 8 * MEBI
    assert (
        httpx.get(
            url_of(server, "large"),
            headers={"range": f"bytes={LARGE - 90}-{LARGE - 80}"},
            verify=NO_TLS,
        ).headers["x-cache"]
        == "HIT"
    )


def test_clients_that_leave_harm_nobody(server: Server, s3: BytesS3) -> None:
    s3.rate = 40 * MEBI
    where = urlsplit(url_of(server, "large"))

    def leave() -> None:
        with socket.create_connection((where.hostname or "", where.port or 0)) as sock:
            sock.sendall(f"GET {where.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            sock.recv(100_000)

    leavers = [threading.Thread(target=leave) for _ in range(20)]
    for each in leavers:
        each.start()
    assert digest_of(url_of(server, "large")) == hashlib.sha256(s3.objects["large"]).hexdigest()
    for each in leavers:
        each.join()
    assert len(s3.gets("large")) == 1
