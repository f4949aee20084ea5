"""The caches of this host, and with them those of others.

Here a change is certain before it is answered; of another host that cannot be had without giving
up writes whenever it is away. So what its peers say fails no change: they are waited for while they
answer, and are told later where they do not.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from parparchik.peers import Peers
from parparchik.server.shared_cache import Outdated

Asker_contra = TypeVar("Asker_contra", contravariant=True)


class Here(Protocol[Asker_contra]):
    """All caches of this host."""

    async def forget(self, outdated: Outdated, asker: Asker_contra, *, settled: bool) -> int:
        """As `shared_cache.Others` has it."""
        ...


class PeeredCaches(Here[Asker_contra]):
    """`here`, and the peers. What a peer has told goes no further than here."""

    def __init__(self, here: Here[Asker_contra], peers: Peers) -> None:
        self._here = here
        self._peers = peers

    async def forget(self, outdated: Outdated, asker: Asker_contra, *, settled: bool) -> int:
        """How many objects were known here."""
        if outdated.by_peer:
            self._peers.hear()
            if not (outdated.names or outdated.below):
                return 0
            return await self._here.forget(outdated, asker, settled=settled)
        told = self._peers.tell(outdated.names, outdated.below)  # whatever becomes of it here
        objects = await self._here.forget(outdated, asker, settled=settled)
        await self._peers.confirmed(told)
        return objects
