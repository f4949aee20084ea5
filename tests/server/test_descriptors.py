"""Few files may be open: whoever is connected is served, from S3 and from disk, and the flood of
others waits."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import (
    BucketConfig,
    CacheConfig,
    Config,
    DedupConfig,
    Endpoint,
    S3Config,
    SinkConfig,
    SinksConfig,
)
from parparchik.metrics import Traffic
from parparchik.model import Answer, Bucket
from parparchik.routes import Settled
from parparchik.server.descriptors import LEAST_CLIENTS, LEAST_S3, PROCESS, Allotment, allot
from parparchik.server.listen import listen
from parparchik.server.plane import Answering, Plane
from parparchik.server.supervise import Supervisor
from parparchik.server.tls import Certificate
from tests.cli.processes import Program
from tests.e2e.bytes_s3 import BUCKET, BytesS3, bytes_s3
from tests.server.test_tls import Authority, connect
from tests.server.web_plane import hello

CONFIG = Config(buckets=(BucketConfig(Bucket("one"), Endpoint(url="http://s3.test")),))


def two_places(config: Config) -> Config:
    other = BucketConfig(Bucket("two"), Endpoint(url="http://elsewhere.test"))
    return replace(config, buckets=(*config.buckets, other))


def test_with_plenty_nothing_is_lowered() -> None:
    assert allot(CONFIG, 65_536) == Allotment(65_536, 10_000, 128, PROCESS + 128, enough=True)
    assert allot(CONFIG, 65_536).of(CONFIG) == CONFIG


def test_clients_get_what_is_left() -> None:
    allotted = allot(CONFIG, 1024)
    assert allotted.connections == 1024 - PROCESS - 128
    assert allotted.of(CONFIG).server.max_connections == allotted.connections


@pytest.mark.parametrize(
    ("more", "costs"),
    [
        (two_places(CONFIG), 128),
        # Two buckets at one endpoint have one pool.
        (replace(CONFIG, other_buckets=(replace(CONFIG.buckets[0], bucket=Bucket("x")),)), 0),
        (replace(CONFIG, dedup=DedupConfig("one", "sqlite:///m", max_uploads=10)), 42),
        (replace(CONFIG, dedup=DedupConfig("one", "m", max_uploads=10, upstream="http://f")), 106),
        (replace(CONFIG, cache=CacheConfig(peers=("http://a.test", "http://b.test"))), 4),
        (replace(CONFIG, sinks=SinksConfig((SinkConfig("influx", "tcp://m:1"),) * 3)), 6),
    ],
    ids=["another endpoint", "another bucket", "dedup", "upstream", "peers", "sinks"],
)
def test_what_else_is_served_costs(more: Config, costs: int) -> None:
    assert allot(more, 1024).connections == allot(CONFIG, 1024).connections - costs


def test_with_a_cache_on_disk_a_client_may_have_a_file_open_too() -> None:
    on_disk = replace(CONFIG, cache=CacheConfig(directory=Path("/cache"), max_fills=44))
    allotted = allot(on_disk, 1024)
    assert allotted.connections == (1024 - PROCESS - 128 - 256 - 44) // 2


def test_with_few_s3_is_given_up_to_half() -> None:
    allotted = allot(two_places(CONFIG), 256)
    assert (allotted.s3_connections, allotted.enough) == (64, True)
    assert allotted.connections == 256 - PROCESS - 2 * 64
    assert allotted.of(CONFIG).s3 == S3Config(max_connections=64)


@pytest.mark.parametrize("descriptors", [10, 64, 100])
def test_with_too_few_it_is_tried_and_said(descriptors: int) -> None:
    allotted = allot(two_places(CONFIG), descriptors)
    assert not allotted.enough
    assert allotted.connections == LEAST_CLIENTS
    assert allotted.s3_connections >= LEAST_S3


LIMIT = 620
KNOWN = 20
FLOOD = 700


@pytest.fixture(scope="module")
def s3() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        for number in range(3 * KNOWN):
            s3.put(f"k{number}", b"%d" % number * 1000)
        yield s3


@contextmanager
def limited(s3: BytesS3, directory: Path, **more: str) -> Iterator[Program]:
    environ = {
        "ALLOWED_BUCKETS": f"{BUCKET}:all",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_ACCESS_LOG": "false",
        "PARPARCHIK_CACHE_DIR": str(directory),
        "PARPARCHIK_CACHE_MEMORY_OBJECT": "0",  # all comes from disk
        "PARPARCHIK_S3_RETRIES": "0",
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **more,
    }
    command = ["sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh"]
    with subprocess.Popen(
        [*command, sys.executable, "-m", "parparchik", "serve"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = Program(process)
        try:
            yield running
        finally:
            process.kill()
            running.wait()


def fetch(client: http.client.HTTPConnection, number: int) -> tuple[int, str, bool]:
    """(status, whether from the cache, whether the bytes are right)."""
    client.request("GET", f"/objects/{BUCKET}/k{number}")
    answer = client.getresponse()
    body = answer.read()
    return answer.status, answer.headers["X-Cache"] or "", body == b"%d" % number * 1000


def fetch_all(
    clients: Sequence[http.client.HTTPConnection], offset: int
) -> list[tuple[int, str, bool]]:
    return [fetch(client, offset + number) for number, client in enumerate(clients)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_flood_of_idle_connections(s3: BytesS3, tmp_path: Path, workers: int) -> None:
    with (
        limited(s3, tmp_path / "cache", PARPARCHIK_WORKERS=str(workers)) as process,
        ExitStack() as stack,
    ):
        [url] = json.loads(process.wait_for('"listening"'))["urls"]
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        clients = [
            http.client.HTTPConnection(where.hostname, where.port, timeout=20) for _ in range(KNOWN)
        ]
        for client in clients:
            stack.callback(client.close)
            client.request("GET", "/objects/nowhere/k")  # nothing of S3
            assert client.getresponse().read()
        for _ in range(FLOOD * workers):
            idle = stack.enter_context(socket.socket())
            idle.setblocking(False)  # those beyond the limit and the queue stay away
            idle.connect_ex((where.hostname, where.port))
        cold = fetch_all(clients, 0)
        assert cold == [(200, "MISS", True)] * KNOWN
        if workers == 1:
            assert fetch_all(clients, 0) == [(200, "HIT", True)] * KNOWN
        told = [line for line in process.output.splitlines() if "open files" in line]
        assert "out of descriptors" not in process.output
        said = json.loads(told[0])
        assert said["limit"] == LIMIT
        assert said["max_connections"] < LIMIT * workers
        assert said["configured"] == 10_000


async def test_one_limit_for_all_ports(tmp_path: Path) -> None:
    """Plain connections and those of TLS count together; whoever leaves makes room for either."""
    authority = Authority(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        tls_port = free.getsockname()[1]
    settings = authority.settings(max_connections=3, tls_port=tls_port)
    ask = lambda request: Settled(Answer(200, (), b"hello"))  # noqa: E731
    answering = Answering(ask, hello, AccessLog(Traffic()))
    plane = Plane(
        settings, answering, Supervisor(), RequestIds(), certificate=Certificate(settings)
    )
    plain, tls = await listen(settings, {})
    async with trio.open_nursery() as nursery:
        with plain, tls, trio.fail_after(20):
            await nursery.start(plane.serve, [plain, tls])
            one = await trio.open_tcp_stream(*plain.getsockname())
            two = await connect(tls_port, authority.client())
            three = await connect(tls_port, authority.client())
            four = await trio.open_tcp_stream(*plain.getsockname())
            five = await trio.open_tcp_stream(*tls.getsockname())
            await wait_all_tasks_blocked(0.05)
            assert plane.count == 3
            await two.aclose()
            await three.aclose()
            await four.send_all(b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n")
            assert b"hello" in await four.receive_some()
            sixth = trio.SSLStream(five, authority.client(), server_hostname="localhost")
            await sixth.do_handshake()
            for stream in (one, four, five):
                await stream.aclose()
            plane.abort()
            nursery.cancel_scope.cancel()
