"""A running parparchik whose metrics are about something."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from moto.server import ThreadedMotoServer

from tests.cli.moto_buckets import Buckets
from tests.cli.processes import DEADLINE_S, program


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a parparchik with two workers, objects, a cache on disk, a peer, a dedup store
    and a sink, before two buckets on moto, after some requests of each kind. One key is in both
    buckets."""
    directory = tmp_path_factory.mktemp("served")
    settings = directory / "parparchik.toml"
    settings.write_text('[[sink]]\nkind = "influx"\nurl = "tcp://127.0.0.1:9"\n')
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        buckets = Buckets(f"{host}:{port}", "pictures", "documents")
        for bucket in (buckets.public, buckets.private):
            assert buckets.request("PUT", f"/{bucket}")[0] == 200
            buckets.put(bucket, "both.txt")
        buckets.put(buckets.private, "one.txt")
        assert buckets.request("PUT", "/kept")[0] == 200
        bare = {name: "" for name in os.environ if name.startswith(("PARPARCHIK_", "AWS_", "S3_"))}
        environ = {
            **bare,
            **buckets.environ,
            "PARPARCHIK_LOG_FORMAT": "json",
            "PARPARCHIK_WORKERS": "2",
            "PARPARCHIK_HEADER_TIMEOUT": "500ms",
            "PARPARCHIK_CONFIG": str(settings),
            "PARPARCHIK_CACHE_DIR": str(directory / "cache"),
            "PARPARCHIK_CACHE_PEERS": "http://127.0.0.1:9",
            "ALLOWED_BUCKETS": "pictures:read",
            "PARPARCHIK_DEDUP_BUCKET": "kept",
            "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{directory}/files.db",
            "PARPARCHIK_DEDUP_CLEAN_EVERY": "1s",
        }
        with program("serve", "--port", "0", environ=environ) as running:
            line = json.loads(running.wait_for('"listening"'))
            address = str(line["urls"][0]).removeprefix("http://")
            deadline = time.monotonic() + DEADLINE_S
            while (found := ask(address, "/readiness"))[0] != 200:
                assert time.monotonic() < deadline, found[1]
                time.sleep(0.05)
            statuses = [ask(address, path)[0] for path in _PATHS]
            assert statuses == [302, 302, 404, 200, 200, 404]
            assert exchange(address, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
            assert exchange(address, b"GET / HTTP/1.1\r\n").startswith(b"HTTP/1.1 408 ")
            while "dedup_last_clean_missing" not in ask(address, "/metrics")[1]:
                assert time.monotonic() < deadline, running.output
                time.sleep(0.05)
            yield address
    finally:
        moto.stop()


_PATHS = (
    "/pictures/both.txt",
    "/private/one.txt",
    "/public/nowhere",
    "/status",
    "/objects/pictures/both.txt",
    "/ft/files/nowhere",
)


def exchange(address: str, data: bytes) -> bytes:
    """What is answered to `data` until the connection ends."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        return connection.makefile("rb").read()


def ask(address: str, path: str) -> tuple[int, str]:
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
