"""Claims, held for as long as the work takes that they are for.

Most work is over long before its claim is: so one task looks after the claims of all that takes
longer, and what does not pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import trio

from parparchik.dedup.types import Claim, Metadata
from parparchik.errors import ClaimLost, UpstreamError

_LOOKS = 6  # at the claims, within the life of one
_RELEASE_S = 10.0  # how long nobody's cancellation can keep a claim from being released

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Claims:
    """While `run` does, each is renewed several times within `life_s`, which is what remains of it
    when we are killed. `now` is the wall clock, the same for all processes."""

    def __init__(self, metadata: Metadata, *, life_s: float, now: Callable[[], float]) -> None:
        self._metadata = metadata
        self._life_s = life_s
        self._now = now
        self._held: set[_Held] = set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(self._life_s / _LOOKS)
            late_s = trio.current_time() - self._life_s / _LOOKS
            async with trio.open_nursery() as nursery:
                for held in tuple(self._held):
                    if held.since_s <= late_s:
                        nursery.start_soon(self._renew, held)

    async def hold(self, digest: str, work: Callable[[Claim], Awaitable[T]]) -> T:
        """What `work` returns, which ends the claim by `Metadata.put`. When it raises, the claim is
        released. Raises ClaimLost when it could not be renewed; `work` is cancelled then."""
        claim = await self._metadata.claim(digest, now_s=self._now(), life_s=self._life_s)
        try:
            return await self._holding(claim, work)
        except BaseException:
            await self._release(claim)
            raise

    async def _holding(self, claim: Claim, work: Callable[[Claim], Awaitable[T]]) -> T:
        held = _Held(claim)
        self._held.add(held)
        try:
            with held.scope:
                return await work(claim)
        finally:
            self._held.remove(held)
        raise ClaimLost("a claim has run out before its work was done")

    async def _renew(self, held: _Held) -> None:
        """Where it is lost, its work ends. A database that is away for a moment has one more
        chance."""
        claim = held.claim
        try:
            if not await self._metadata.renew(claim, now_s=self._now(), life_s=self._life_s):
                held.scope.cancel()
        except UpstreamError as error:
            log.warning("a claim could not be renewed", digest=claim.digest, reason=str(error))
        except Exception:  # nobody else's claim is to run out for it
            log.exception("a claim could not be renewed", digest=claim.digest)

    async def _release(self, claim: Claim) -> None:
        """Where it cannot be, it runs out."""
        with trio.move_on_after(_RELEASE_S, shield=True):
            try:
                await self._metadata.release(claim)
            except UpstreamError as error:
                log.warning("a claim was not released", digest=claim.digest, reason=str(error))


class _Held:
    """`scope` is that of the work."""

    __slots__ = ("claim", "scope", "since_s")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.scope = trio.CancelScope()
        self.since_s = trio.current_time()
