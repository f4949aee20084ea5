"""Peers that are there, away or slow, as a test has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from parparchik.config import CacheConfig, Config
from parparchik.config.model import BucketConfig, Endpoint
from parparchik.content import ObjectName
from parparchik.model import Bucket
from parparchik.peers import Forget, Forgotten, PeerFailed, Peers

ONE, OTHER = "http://one.test", "http://other.test"


@dataclass
class Host:
    """`heard` is what it was told and has confirmed. `gate`: it answers when that is open."""

    instance: str
    heard: list[Forget] = field(default_factory=list)
    asked: int = 0
    away: str = ""
    crash: Exception | None = None
    gate: trio.Event | None = None
    closed: int = 0

    async def __call__(self, forget: Forget) -> Forgotten:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.crash is not None:
            raise self.crash
        if self.away:
            raise PeerFailed(self.away)
        self.heard.append(forget)
        return Forgotten(self.instance, len(forget.names))

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The keys of each request that had something to tell."""
        told = [each for each in self.heard if each.names or each.below]
        return [tuple(key for _, key in (*each.names, *each.below)) for each in told]


def config_of(*urls: str, wait_s: float = 1.0, queue: int = 100) -> Config:
    return Config(
        buckets=tuple(BucketConfig(Bucket(name), Endpoint()) for name in ("a", "b")),
        cache=CacheConfig(peers=urls, peer_wait_s=wait_s, peer_queue=queue),
    )


@dataclass
class Fleet:
    """`peers` of a server, of which `hosts` are what is at the URLs."""

    hosts: dict[str, Host]
    peers: Peers = field(init=False)

    def __post_init__(self) -> None:
        self.peers = Peers(lambda url, _: self.hosts[url])

    async def change(self, *keys: str) -> float:
        """Tell of them as a write does; how long it was held, in seconds."""
        began = trio.current_time()
        told = self.peers.tell([ObjectName("b", key) for key in keys], ())
        await self.peers.confirmed(told)
        return trio.current_time() - began


Start = Callable[..., Awaitable[Fleet]]
