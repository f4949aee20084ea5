"""Log output to look at, with the process's logging put back afterwards."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
import structlog
import trio

from parparchik.config.model import LogConfig, ServerConfig
from parparchik.server import configure_logging
from parparchik.server.hypercorn import HypercornConnections
from parparchik.web import ASGIApp
from tests.server.web_plane import Server, Start


class Logged(io.StringIO):
    """Where logs go; `configure` once, then log, then look."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def configure(self, config: LogConfig | None = None, *, secrets: tuple[str, ...] = ()) -> None:
        configure_logging(config or LogConfig(format="json"), secrets=secrets, stream=self)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.getvalue().splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


@pytest.fixture
def logged() -> Iterator[Logged]:
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    root.handlers = []
    stream = Logged()
    stream.configure()
    yield stream
    structlog.configure(**before[0])
    root.handlers, root.level = before[1], before[2]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Starts `HypercornConnections` with an app and settings, on a port of their own."""
    servers: list[Server] = []

    async def start(app: ASGIApp, **settings: Any) -> Server:
        connections = HypercornConnections(app, ServerConfig(**{"h2c": True, **settings}))
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(partial(trio.serve_listeners, connections.serve, listeners))
        servers.append(Server(connections, listeners[0].socket.getsockname()[1]))
        return servers[-1]

    yield start
    for server in servers:
        for client in server.clients:
            client.socket.close()
