"""Other hosts in a scrape."""

from __future__ import annotations

import json

from parparchik.metrics import CACHE_TYPE, PEERS_TYPE, Exposition, GroupExposition
from parparchik.peers import PeerStatistics
from tests.metrics.test_metrics_bytes import FakeMembers
from tests.metrics.test_metrics_exposition import FakeSources

PEERS = (
    PeerStatistics("http://b:1", True, 2, 30, 1, 4, 1.75e9),
    PeerStatistics("http://c:1", False, 7, 0, 0, 9, 0.0),
)


async def test_how_they_are() -> None:
    _, body = await Exposition(FakeSources(), peers=lambda: PEERS).render("")
    lines = body.decode().splitlines()
    for line in (
        'parparchik_cache_peer_reachable{peer="http://b:1"} 1.0',
        'parparchik_cache_peer_reachable{peer="http://c:1"} 0.0',
        'parparchik_cache_peer_pending{peer="http://c:1"} 7.0',
        'parparchik_cache_peer_forgotten_total{peer="http://b:1"} 30.0',
        'parparchik_cache_peer_collapsed_total{peer="http://b:1"} 1.0',
        'parparchik_cache_peer_errors_total{peer="http://c:1"} 9.0',
        'parparchik_cache_peer_last_success_timestamp_seconds{peer="http://b:1"} 1.75e+09',
    ):
        assert line in lines


async def test_without_peers_nothing_is_said_of_them() -> None:
    _, body = await Exposition(FakeSources()).render("")
    assert b"peer" not in body


async def test_in_figures_also_where_others_answer() -> None:
    own = Exposition(FakeSources(), peers=lambda: PEERS)
    worker = Exposition(FakeSources()).families()
    group = GroupExposition(own, FakeMembers([worker, worker]))
    for exposition in (own, group):
        _, body = await exposition.render(PEERS_TYPE)
        assert json.loads(body) == [
            {"url": "http://b:1", "reachable": True, "pending": 2},
            {"url": "http://c:1", "reachable": False, "pending": 7},
        ]
        _, body = await exposition.render(CACHE_TYPE)
        assert json.loads(body)["peer_pending"] == {"http://b:1": 2, "http://c:1": 7}
