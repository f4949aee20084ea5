"""All other hosts, as the settings name them. They outlive a change of settings: what one of them
has not confirmed is still to be told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from parparchik.config.model import CacheConfig, Config
from parparchik.content import ObjectName
from parparchik.peers.asking import HTTPPeer
from parparchik.peers.peer import Ask, Peer, PeerStatistics

Connect = Callable[[str, CacheConfig], Ask]
"""The way to the peer at a URL."""


@dataclass(frozen=True, slots=True)
class Told:
    """What to wait for, and until when (of Trio's clock)."""

    numbers: tuple[tuple[Peer, int], ...]
    deadline: float


class Peers:
    """None until `use`. `instance` is who we are; `run` has to be at work."""

    def __init__(self, connect: Connect = HTTPPeer) -> None:
        self.instance = secrets.token_hex(16)
        self._connect = connect
        self._settings = CacheConfig()
        self._peers: dict[str, Peer] = {}
        self._changed = trio.Event()

    def use(self, config: Config) -> None:
        """Those of `config` from now on; one that was there before keeps what waits for it."""
        settings = self._settings = config.cache
        buckets = tuple(each.bucket.name for each in config.every_bucket)
        peers: dict[str, Peer] = {}
        for url in settings.peers:
            peer = peers[url] = self._peers.get(url) or Peer(url, self.instance)
            peer.configure(settings.peer_queue, buckets)
        self._peers = peers
        self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell them, until cancelled, and then of what is left."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            async with trio.open_nursery() as nursery:
                for peer in self._peers.values():
                    nursery.start_soon(peer.run, self._connect(peer.url, self._settings))
                await self._changed.wait()
                nursery.cancel_scope.cancel()

    def tell(self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]) -> Told:
        """Have all of them forget; never waits."""
        names, below = tuple(names), tuple(below)
        numbers = tuple((peer, peer.note(names, below)) for peer in self._peers.values())
        return Told(numbers, trio.current_time() + self._settings.peer_wait_s)

    async def confirmed(self, told: Told) -> None:
        """Returns when each that answers has forgotten, or when the time for it is over."""
        if not told.numbers or not self._settings.peer_wait_s:
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_at(told.deadline) as limit:
            for peer, number in told.numbers:
                await peer.confirmed(number)
        if limit.cancelled_caught:
            for peer, number in told.numbers:
                peer.was_late(number)

    def hear(self) -> None:
        """A peer has asked us something: one that was away may be back."""
        for peer in self._peers.values():
            peer.hear()

    def statistics(self) -> tuple[PeerStatistics, ...]:
        """Of all that are not ourselves."""
        return tuple(peer.statistics() for peer in self._peers.values() if not peer.is_self)
