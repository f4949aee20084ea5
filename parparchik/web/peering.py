"""What other hosts with caches of the same objects ask of this one: to forget what was changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from parparchik.content import ObjectName
from parparchik.peers import Forget, Forgotten
from parparchik.routes import Authenticator

ForgetForPeer = Callable[
    [tuple[ObjectName, ...], tuple[tuple[str, str], ...]],
    Awaitable[int],
]
"""(names, (bucket, prefix)) are forgotten by all processes of this host; how many objects were
known. Raises Unavailable where that is not certain."""


@dataclass(frozen=True, slots=True)
class Peering:
    """`instance` is who we are among our peers; `authenticator` knows the keys that they show."""

    instance: str
    authenticator: Authenticator
    forget_for_peer: ForgetForPeer

    async def forget(self, asked: Forget) -> Forgotten:
        """Raises Unavailable. Buckets that are none of ours are nothing to forget, and no error:
        hosts may differ in them."""
        forgotten = 0
        if asked.sender != self.instance and (asked.names or asked.below or asked.sender):
            names = tuple(ObjectName(*each) for each in asked.names)
            forgotten = await self.forget_for_peer(names, tuple(asked.below))
        return Forgotten(self.instance, forgotten)
