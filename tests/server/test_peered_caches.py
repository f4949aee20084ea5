"""The caches of a host and its peers: who is told of what, and what a change waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.content import ObjectName
from parparchik.errors import Unavailable
from parparchik.peers import Peers
from parparchik.server.peered_caches import PeeredCaches
from parparchik.server.shared_cache import Outdated
from tests.peers.hosts import ONE, Host, config_of

PAGE = ObjectName("b", "page")
CHANGE = Outdated((PAGE,), (("b", "d/"),))


@dataclass
class Here:
    """The caches of this host; `gate`: they have forgotten when it is open."""

    told: list[Outdated] = field(default_factory=list)
    failing: bool = False
    gate: trio.Event | None = None

    async def forget(self, outdated: Outdated, asker: object, *, settled: bool) -> int:
        await trio.lowlevel.checkpoint()
        self.told.append(outdated)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise Unavailable("not every process could be told of the change")
        return 7


@dataclass
class Scene:
    here: Here
    host: Host
    caches: PeeredCaches[None]
    peers: Peers

    async def forget(self, outdated: Outdated = CHANGE) -> int:
        return await self.caches.forget(outdated, None, settled=True)


@pytest.fixture
async def scene(nursery: trio.Nursery) -> Scene:
    here, host = Here(), Host("other")
    peers = Peers(lambda url, settings: host)
    peers.use(config_of(ONE, wait_s=10))
    await nursery.start(peers.run)
    await wait_all_tasks_blocked()
    return Scene(here, host, PeeredCaches(here, peers), peers)


async def test_both_are_told(scene: Scene) -> None:
    assert await scene.forget() == 7, "of this host"
    assert scene.here.told == [CHANGE]
    assert scene.host.names == [("page", "d/")]


async def test_what_a_peer_has_told_goes_no_further(scene: Scene) -> None:
    change = Outdated((PAGE,), by_peer=True)
    assert await scene.forget(change) == 7
    await wait_all_tasks_blocked()
    assert scene.here.told == [change]
    assert scene.host.names == []


async def test_a_peer_that_only_says_that_it_is_there(scene: Scene) -> None:
    assert await scene.forget(Outdated(by_peer=True)) == 0
    assert scene.here.told == []


async def test_peers_are_told_at_once(scene: Scene, nursery: trio.Nursery) -> None:
    """Not only when all is well here."""
    scene.here.gate = trio.Event()
    nursery.start_soon(scene.forget)
    await wait_all_tasks_blocked()
    assert scene.host.names == [("page", "d/")]
    scene.here.gate.set()


async def test_peers_are_told_where_it_fails_here(scene: Scene) -> None:
    scene.here.failing = True
    with pytest.raises(Unavailable):
        await scene.forget()
    await wait_all_tasks_blocked()
    assert scene.host.names == [("page", "d/")]


async def test_a_peer_that_fails_fails_no_change(scene: Scene) -> None:
    scene.host.away = "refused"
    assert await scene.forget() == 7
    assert scene.peers.statistics()[0].pending == 2


async def test_the_change_waits_for_the_peer(scene: Scene, nursery: trio.Nursery) -> None:
    scene.host.gate = trio.Event()
    done = trio.Event()

    async def forget() -> None:
        await scene.forget()
        done.set()

    nursery.start_soon(forget)
    await wait_all_tasks_blocked()
    assert scene.here.told == [CHANGE]
    assert not done.is_set()
    scene.host.gate.set()
    with trio.fail_after(5):
        await done.wait()
