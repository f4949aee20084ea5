"""Line protocol against a server that reads it: VictoriaMetrics, where Debian's is installed."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from parparchik.access import Observation
from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.sinks import Sinks

PROGRAM = shutil.which("victoria-metrics")
PATIENCE_S = 20.0

pytestmark = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("PARPARCHIK_REQUIRE_VICTORIA_METRICS"),
    reason="victoria-metrics is not installed",
)


@dataclass(frozen=True, slots=True)
class Server:
    http: str
    tcp: str

    async def until_up(self, client: httpx.AsyncClient) -> None:
        while True:
            try:
                if (await client.get(self.http + "/health")).status_code == 200:
                    return
            except httpx.TransportError:
                await trio.sleep(0.05)

    async def series(self, client: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
        """What the server has of a metric, at once: it would show it only half a minute later."""
        await client.get(self.http + "/internal/force_flush")
        response = await client.get(self.http + "/api/v1/export", params={"match[]": name})
        return [httpx.Response(200, text=line).json() for line in response.text.splitlines()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    assert PROGRAM is not None
    http, tcp = free_port(), free_port()
    command = [
        PROGRAM,
        f"-httpListenAddr=127.0.0.1:{http}",
        f"-influxListenAddr=127.0.0.1:{tcp}",
        f"-storageDataPath={directory}",
        "-loggerLevel=ERROR",
    ]
    server = Server(f"http://127.0.0.1:{http}", f"tcp://127.0.0.1:{tcp}")
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
        process = await nursery.start(trio.run_process, command)
        with trio.fail_after(PATIENCE_S):
            await server.until_up(client)
            yield server, client
        process.terminate()
        with trio.move_on_after(PATIENCE_S):
            await process.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", ["http", "tcp"])
async def test_every_figure_arrives(tmp_path: Path, way: str) -> None:
    seen = Observation("GET", "/a b,c=d", 404, "text/html; charset=utf-8", True, 1234)
    now_ns = time.time_ns()
    async with running(tmp_path) as (server, client):
        url = server.http + "/write" if way == "http" else server.tcp
        sinks = Sinks(
            SinksConfig((SinkConfig("influx", url, flush_s=0.01),)), now_ns=lambda: now_ns
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sinks.run)
            sinks.observe(seen, 0.25, "203.0.113.1")
            found: list[dict[str, Any]] = []
            while not found:
                await trio.sleep(0.1)
                found = await server.series(client, "request_size")
            nursery.cancel_scope.cancel()
        assert found[0]["metric"] == {
            "__name__": "request_size",
            "method": "GET",
            "mimeType": "text/html",
            **({"db": found[0]["metric"]["db"]} if "db" in found[0]["metric"] else {}),
        }
        assert found[0]["values"] == [1234]
        assert found[0]["timestamps"] == [now_ns // 1_000_000]
        for name, value in (("time", 250_000_000), ("status", 404), ("compressed", 1)):
            assert (await server.series(client, f"request_{name}"))[0]["values"] == [value]
