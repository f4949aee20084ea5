"""Two servers of the same bucket that are each other's peers, each with workers of its own."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.byte_groups import DEADLINE_S, Group, group, send, until
from tests.e2e.bytes_s3 import BytesS3
from tests.plain_http import NO_TLS

KEY = "the-key-of-all-peers"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Hosts:
    """Both are given the same settings: each finds itself among its peers. `directory` None: they
    keep nothing on disk. A write is answered when the other host has confirmed, or after the ten
    seconds that a busy machine may need."""

    s3: BytesS3
    workers: int
    directory: Path | None = None
    wait: str = "10s"

    def __post_init__(self) -> None:
        self.ports = {"a": free_port(), "b": free_port()}

    @contextmanager
    def host(self, name: str, **more: str) -> Iterator[Group]:
        if self.directory is not None:
            more["PARPARCHIK_CACHE_DIR"] = str(self.directory / name)
        environ = {
            "PARPARCHIK_PORT": str(self.ports[name]),
            "PARPARCHIK_CACHE_PEERS": ",".join(
                f"http://127.0.0.1:{port}" for port in self.ports.values()
            ),
            "PARPARCHIK_CACHE_PEER_KEY": KEY,
            "PARPARCHIK_CACHE_PEER_WAIT": self.wait,
            # Nothing is right only because it has become stale.
            "PARPARCHIK_CACHE_TTL": "1h",
            "PARPARCHIK_LOG_LEVEL": "info",
        }
        with group(self.s3, self.workers, **environ | more) as running:
            yield running
            assert KEY not in running.program.output

    @contextmanager
    def both(self) -> Iterator[tuple[Group, Group]]:
        """When each knows that the other is there."""
        with self.host("a") as a, self.host("b") as b:
            for one in (a, b):
                until_told(one)
            yield a, b


def peers(server: Group) -> list[dict[str, Any]]:
    document = httpx.get(server.url + "/status", timeout=DEADLINE_S, verify=NO_TLS).json()
    found: list[dict[str, Any]] = document["peers"]
    return found


def until_told(server: Group) -> None:
    """Returns when its one peer is there, and has confirmed all changes."""

    def told() -> bool:
        found = peers(server)
        return len(found) == 1 and found[0]["reachable"] and not found[0]["pending"]

    until(told, lambda: f"{peers(server)}\n{server.program.output}")


@contextmanager
def stopped(server: Group) -> Iterator[None]:
    """Like a machine that hangs: connections to it are made, and nothing answers."""
    pids = [server.pid, *(server.pids() if server.workers > 1 else ())]
    for pid in pids:
        send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            send(pid, signal.SIGCONT)
