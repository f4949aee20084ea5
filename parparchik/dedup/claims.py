"""Claims, held for as long as the work takes that they are for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import trio

from parparchik.dedup.types import Claim, Metadata
from parparchik.errors import ClaimLost, UpstreamError

_RELEASE_S = 10.0  # how long nobody's cancellation can keep a claim from being released

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Claims:
    """Each is renewed twice within `life_s`, which is what remains of it when we are killed. `now`
    is the wall clock, the same for all processes."""

    def __init__(self, metadata: Metadata, *, life_s: float, now: Callable[[], float]) -> None:
        self._metadata = metadata
        self._life_s = life_s
        self._now = now

    async def hold(self, digest: str, work: Callable[[Claim], Awaitable[T]]) -> T:
        """What `work` returns, which ends the claim by `Metadata.put`. When it raises, the claim is
        released. Raises ClaimLost when it could not be renewed; `work` is cancelled then."""
        claim = await self._metadata.claim(digest, now_s=self._now(), life_s=self._life_s)
        try:
            return await self._renewing(claim, work)
        except BaseException:
            await self._release(claim)
            raise

    async def _renewing(self, claim: Claim, work: Callable[[Claim], Awaitable[T]]) -> T:
        results: list[T] = []
        failures: list[Exception] = []

        async def renew() -> None:
            while await self._renew(claim):
                pass
            failures.append(ClaimLost("a claim has run out before its work was done"))
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(renew)
            try:
                results.append(await work(claim))
            except Exception as error:  # noqa: BLE001  raised outside of the nursery, below
                failures.insert(0, error)
            nursery.cancel_scope.cancel()
        if results:
            return results[0]
        raise failures[0]

    async def _renew(self, claim: Claim) -> bool:
        """When its time has come; False when it is lost. A database that is away for a moment has
        one more chance."""
        await trio.sleep(self._life_s / 3)
        try:
            return await self._metadata.renew(claim, now_s=self._now(), life_s=self._life_s)
        except UpstreamError as error:
            _log.warning("a claim could not be renewed", digest=claim.digest, reason=str(error))
            return True

    async def _release(self, claim: Claim) -> None:
        """Where it cannot be, it runs out."""
        with trio.move_on_after(_RELEASE_S, shield=True):
            try:
                await self._metadata.release(claim)
            except UpstreamError as error:
                _log.warning("a claim was not released", digest=claim.digest, reason=str(error))
