"""Whoever keeps the registry of a group of processes, as one that only answers requests sees it.

The parent at the other end of a socket is one (`remote.RemoteOwner`). Nothing here says that the
owner is a process of this machine: a store that several hosts share can be another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from parparchik.server.shared_cache import Others
from parparchik.server.workers.messages import Change
from parparchik.web import Exposition, Files, Readiness, RegistryService


class Audience(Protocol):
    """Who is told what becomes of the registry. The owner tells in order: what it says of a key
    is newer than all that it has said of it before."""

    def changed(self, key: str, packed: int | None) -> None:
        """The entry of `key` is now `packed`; None: there is none."""
        ...

    def changed_beyond_telling(self) -> None:
        """Nothing that the owner has said so far may be relied on."""
        ...


class Owner(RegistryService, Files, Readiness, Exposition, Others, Protocol):
    """Everything that speaks for the whole group. What the registry and the management API raise
    in one process they raise here, and Unavailable when the owner cannot be asked."""

    @property
    def instance(self) -> str:
        """What the whole server is called among its peers."""
        ...

    def tell(self, audience: Audience) -> None:
        """From now on `audience` is told of every change within a tenth of a second."""
        ...

    async def find(self, key: str) -> None:
        """Have the audience told of the entry of `key`; returns after that. Concurrent callers
        share one question. Raises Unavailable when there is no answer in time."""
        ...

    def report(self, changes: Iterable[Change]) -> None:
        """What S3 has told. Where the owner knows better it tells so in `changed`."""
        ...
