"""The other hosts that are told of changes, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric

from parparchik.metrics.samples import counters, gauges
from parparchik.peers import PeerStatistics

AskPeers = Callable[[], Iterable[PeerStatistics]]


def peer_metrics(ask: AskPeers) -> Iterator[Metric]:
    peers = list(ask())
    if not peers:
        return
    for name, documentation, rows in (
        (
            "reachable",
            "Whether the last request to the peer was answered",
            [(peer.url, float(peer.reachable)) for peer in peers],
        ),
        (
            "pending",
            "Changes that the peer has not confirmed",
            [(peer.url, peer.pending) for peer in peers],
        ),
        (
            "last_success_timestamp_seconds",
            "When the peer last answered; 0: never",
            [(peer.url, peer.succeeded_at_s) for peer in peers],
        ),
    ):
        yield gauges(f"cache_peer_{name}", documentation, "peer", rows)
    for name, documentation, counts in (
        (
            "forgotten",
            "Changes that the peer has confirmed",
            [(peer.url, peer.forgotten) for peer in peers],
        ),
        (
            "collapsed",
            "Times that so many waited that a whole bucket took their place",
            [(peer.url, peer.collapsed) for peer in peers],
        ),
        (
            "errors",
            "Requests to the peer without a usable answer",
            [(peer.url, peer.errors) for peer in peers],
        ),
    ):
        yield counters(f"cache_peer_{name}", documentation, ("peer",), counts)
