"""Where workers have their caches on disk: a directory with a part for each, claimed by the parent,
which keeps nothing there itself. Two of them while the settings change to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
import trio

from parparchik.cache import DiskParts
from parparchik.config.model import Config
from parparchik.server.byte_rooms import CACHE_DIR, serves_bytes

LOOK_S = 0.1
"""How often it is looked whether a directory is still in use."""

log = structlog.get_logger(__name__)


class Directories:
    """For `count` workers. `claimed` are those that any worker uses or may use."""

    def __init__(self, count: int) -> None:
        self.claimed: set[DiskParts] = set()
        self._count = count

    async def claim(
        self, share: Config, before: DiskParts | None
    ) -> tuple[Config, DiskParts | None]:
        """The directory that a worker's share of the settings names, and that share; `before` is
        what workers have now. A disk that is full or broken just now is done without: then the
        share names none. Raises ConfigError."""
        cache = share.cache
        if cache.directory is None or not serves_bytes(share):
            return share, None
        if before is not None and before.path == cache.directory:
            return share, before
        parts = DiskParts(cache.directory, self._count, CACHE_DIR)
        try:
            await parts.claim()
        except OSError as error:
            log.warning("nothing is cached on disk", reason=str(error), setting=CACHE_DIR)
            return replace(share, cache=replace(cache, directory=None)), None
        self.claimed.add(parts)
        return share, parts

    async def leave(self, parts: DiskParts, is_used: Callable[[DiskParts], bool]) -> None:
        """No worker will be started on it any more. Whoever comes back to it must not believe what
        the last of them has left: changes are not told there from now on."""
        while is_used(parts):  # noqa: ASYNC110  workers tell nobody
            await trio.sleep(LOOK_S)
        self.claimed.discard(parts)
        await parts.discard()
