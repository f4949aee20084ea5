"""Other hosts with caches of the same objects: what was changed through us they forget, too.

Each peer has a queue of changes that it has not confirmed yet and a task that sends them, many at a
time and one request after the other. A change is never dropped: where too many wait, "all of that
bucket" takes their place, and a peer that is away is told when it is back. Whoever has changed an
object waits a moment for the peers that answer, and for no other; S3 has the change whatever they
say. A peer that was told tells nobody else.
"""

from parparchik.peers.asking import PeerFailed, peer_problems
from parparchik.peers.messages import FORGET_PATH, MAX_CHANGES, Forget, Forgotten
from parparchik.peers.peer import Ask, PeerStatistics
from parparchik.peers.peers import Peers, Told

__all__ = [
    "FORGET_PATH",
    "MAX_CHANGES",
    "Ask",
    "Forget",
    "Forgotten",
    "PeerFailed",
    "PeerStatistics",
    "Peers",
    "Told",
    "peer_problems",
]
