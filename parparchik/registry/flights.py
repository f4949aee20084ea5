"""Questions to S3 that are under way, one for all who ask the same.

Whoever comes first asks in its own task. If that task is cancelled (its client left), one of those
who waited asks again: a HEAD costs little, and no client depends on another's patience.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from parparchik.errors import UpstreamError
from parparchik.registry.resolution import Resolution


class _Flight:
    """`started`: it has a slot, so S3 may have answered already."""

    __slots__ = ("done", "error", "resolution", "started")

    def __init__(self) -> None:
        self.started = False
        self.done: trio.Event | None = None
        self.resolution: Resolution | None = None
        self.error: UpstreamError | None = None


class Flights:
    """`ask` is called with one of `slots` held; `on_share` for each who waits instead."""

    __slots__ = ("_ask", "_flights", "_on_share", "_slots")

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Resolution]],
        slots: trio.Semaphore,
        on_share: Callable[[], None],
    ) -> None:
        self._ask = ask
        self._slots = slots
        self._on_share = on_share
        self._flights: dict[str, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def share(self, key: str, *, begun_later: bool) -> Resolution:
        """What `ask` returns or raises (UpstreamError); if `begun_later`, asked after this call."""
        while True:
            flight = self._flights.get(key)
            if flight is None or (begun_later and flight.started):
                flight = self._flights[key] = _Flight()
                return await self._lead(key, flight)
            if flight.done is None:
                flight.done = trio.Event()
            self._on_share()
            await flight.done.wait()
            if flight.resolution is not None:
                return flight.resolution
            if flight.error is not None:
                raise flight.error
            # Neither: whoever asked was cancelled.

    async def _lead(self, key: str, flight: _Flight) -> Resolution:
        slots = self._slots
        try:
            if slots.value:  # `acquire` would sleep for a moment all the same
                slots.acquire_nowait()
            else:
                await slots.acquire()
            try:
                flight.started = True
                flight.resolution = await self._ask(key)
                return flight.resolution
            finally:
                slots.release()
        except UpstreamError as error:
            flight.error = error
            raise
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if flight.done is not None:
                flight.done.set()
