"""Keys of which workers say what does not fit together. S3 is asked, and that decides.

Two workers' HEADs of one key may be told to the parent in another order than S3 answered them. No
clock says which was later, so the parent asks once more, after both: what S3 says then is newer
than either.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from parparchik.errors import UpstreamError

TASKS = 16
"""Keys that are asked for at the same time."""

DISPUTES_MAX = 10_000
"""Beyond it nothing is asked: the registry keeps what it has."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
"""Until S3 is asked again where it could not tell; doubles."""

log = structlog.get_logger(__name__)


class Disputes:
    """`verify` asks S3 by a HEAD begun after the call and has the registry keep what it says;
    `settled` is called after that. `run` has to be at work."""

    def __init__(
        self, verify: Callable[[str], Awaitable[object]], settled: Callable[[str], object]
    ) -> None:
        self._verify = verify
        self._settled = settled
        self._open: dict[str, bool] = {}  # whether it was disputed after S3 was asked last
        self._queue, self._queued = trio.open_memory_channel[str](math.inf)

    def __contains__(self, key: str) -> bool:
        return key in self._open

    def add(self, key: str) -> bool:
        """Have S3 asked for `key` from now on; False where there are too many."""
        if key not in self._open:
            if len(self._open) >= DISPUTES_MAX:
                return False
            self._queue.send_nowait(key)
        self._open[key] = True
        return True

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(self._settle_queued)

    async def _settle_queued(self) -> None:
        async for key in self._queued:
            try:
                await self._settle(key)
            except Exception:  # of one key; the others are still to be decided
                log.exception("dispute not settled", key=key)
            finally:
                del self._open[key]
            self._settled(key)

    async def _settle(self, key: str) -> None:
        pause_s = FIRST_PAUSE_S
        while self._open[key]:
            self._open[key] = False
            try:
                await self._verify(key)
            except UpstreamError:
                self._open[key] = True
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
