"""A parent's hub and workers of it in one process, with real sockets between them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from parparchik.config import RoutesConfig
from parparchik.registry import Prober, Resolution, Service
from parparchik.server.workers import Hub
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.hub import Port
from parparchik.server.workers.messages import (
    AnswersOfParent,
    AnswersOfWorkers,
    ToParent,
    ToWorker,
)
from parparchik.server.workers.mirror import Mirror, WorkerLookup
from parparchik.server.workers.remote import RemoteOwner
from tests.fakes import NOW_S, FakeBucket


@dataclass
class Spoken:
    """Readiness and a scrape, as the test sets them."""

    because: str | None = None
    accepted: list[str] = field(default_factory=list)

    def reason(self) -> str | None:
        return self.because

    async def render(self, accept: str) -> tuple[str, bytes]:
        await trio.lowlevel.checkpoint()
        self.accepted.append(accept)
        return "text/plain", b"up 1\n"


@dataclass
class Worker:
    """One worker: its own connections to S3, the parent's registry."""

    owner: RemoteOwner
    mirror: Mirror
    lookup: WorkerLookup
    end: trio.SocketStream
    parent_end: trio.SocketStream

    async def ask(self, key: str) -> Resolution:
        """As a request does."""
        known = self.lookup.resolve_nowait(key)
        return await self.lookup.resolve(key) if known is None else known

    async def where(self, key: str) -> str | None:
        entry = (await self.ask(key)).entry
        return None if entry is None else entry.bucket.name


class Group:
    """`service` is the parent's, on the same buckets as the workers'."""

    def __init__(self, nursery: trio.Nursery, *stores: FakeBucket, **settings: Any) -> None:
        self.config = RoutesConfig(**settings)
        self.stores = stores
        self.service = Service(stores, self.config, now=lambda: NOW_S)
        self.spoken = Spoken()
        self.hub = Hub(self.service, self.spoken, self.spoken)
        self.other: list[msgspec.Struct] = []  # what a worker said that is not of the registry
        self._nursery = nursery
        nursery.start_soon(self.hub.run)

    async def worker(self, **limits: int) -> Worker:
        """One more, when it has heard from the parent."""
        ours, theirs = await pair()
        port = Port(self.hub, Channel(ours, ToParent, AnswersOfWorkers))
        self._nursery.start_soon(port.run, self.other.append)
        return await self.join(theirs, ours, **limits)

    async def join(
        self, end: trio.SocketStream, parent_end: trio.SocketStream, **limits: int
    ) -> Worker:
        """A worker at `end`, whoever is at the other."""
        channel = Channel(end, ToWorker, AnswersOfParent)
        buckets = [store.bucket for store in self.stores]
        owner = RemoteOwner(channel, buckets)
        mirror = Mirror(buckets, owner, **limits)
        prober = Prober(self.stores, self.config.max_probes)
        lookup = WorkerLookup(mirror, owner, prober, self.config)
        self._nursery.start_soon(channel.run, owner.handle)
        self._nursery.start_soon(owner.run)
        self._nursery.start_soon(lookup.resolver.run)
        return Worker(owner, mirror, lookup, end, parent_end)


async def _stream(end: socket.socket) -> trio.SocketStream:
    await trio.lowlevel.checkpoint()
    end.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(end))


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    one, other = socket.socketpair()
    return await _stream(one), await _stream(other)


async def until(true: Callable[[], object]) -> None:
    """Returns when `true` is. On a clock that jumps, soon."""
    with trio.fail_after(60):
        while not true():  # noqa: ASYNC110
            await trio.sleep(0.001)
