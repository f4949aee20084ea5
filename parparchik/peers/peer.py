"""One other host, and the task that tells it of changes.

It is up until a request to it fails, and again when one succeeds. Only while it is up, and answers
in time, does anybody wait for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio

from parparchik.content import ObjectName
from parparchik.peers.asking import PeerFailed
from parparchik.peers.messages import Forget, Forgotten
from parparchik.peers.pending import Change, Pending

CHECK_EVERY_S = 30.0
"""A peer that there is nothing to tell of is asked so often whether it is there."""

FIRST_BACK_OFF_S = 0.2
LONGEST_BACK_OFF_S = 5.0
"""Before a request that failed is repeated; doubles."""

LAST_WORDS_S = 2.0
"""For what is still to be told when the process ends."""

REASONS_SAID = 4
"""Different ones, once each, while a peer is away: it may be started with a wrong key."""

log = structlog.get_logger(__name__)


class Ask(Protocol):
    """The way to a peer."""

    async def __call__(self, forget: Forget) -> Forgotten:
        """Returns when it has forgotten. Raises PeerFailed where that is not certain."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PeerStatistics:
    """`pending` are changes that it has not confirmed, `forgotten` those that it has; `collapsed`
    is how often a whole bucket took the place of many, `errors` how often a request failed.
    `succeeded_at_s` is the time of the last that did not, 0 for none."""

    url: str
    reachable: bool
    pending: int
    forgotten: int
    collapsed: int
    errors: int
    succeeded_at_s: float


class Peer:
    """`instance` is our own. `run` has to be at work, after `configure`."""

    def __init__(self, url: str, instance: str, now: Callable[[], float] = time.time) -> None:
        self.url = url
        self.is_self = False
        self._buckets: tuple[str, ...] = ()
        self._instance = instance
        self._now = now
        self._pending = Pending()
        self._up = True  # until the contrary is known
        self._late = self._too_much = False
        self._collapsed = 0
        self._wake, self._heard = trio.Event(), trio.Event()
        self._news = trio.lowlevel.ParkingLot()
        self._reasons: set[str] = set()
        self._forgotten = self._errors = 0
        self._succeeded_at_s = 0.0

    def configure(self, limit: int, buckets: tuple[str, ...]) -> None:
        """How many changes may wait, and all buckets that there may be some in."""
        self._pending.limit = limit
        self._buckets = buckets

    def note(self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]) -> int:
        """Have it forget; never waits. The number to wait for."""
        if self.is_self:
            return 0
        number = self._pending.note(names, below)
        self._say_that_it_is_too_much()
        self._wake.set()
        return number

    async def confirmed(self, number: int) -> None:
        """Returns when it has forgotten all up to `number`, or there is no use in waiting."""
        while self._pending.confirmed < number and self._is_waited_for:
            await self._news.park()

    def was_late(self, number: int) -> None:
        """Somebody has waited long enough; nobody else does, until it answers."""
        if self._pending.confirmed < number:
            self._late = True
            self._news.unpark_all()

    def hear(self) -> None:
        """Some peer has asked us: it may be this one that is back."""
        self._heard.set()

    def statistics(self) -> PeerStatistics:
        return PeerStatistics(
            self.url,
            self._up,
            len(self._pending),
            self._forgotten,
            self._pending.collapsed,
            self._errors,
            self._succeeded_at_s,
        )

    @property
    def _is_waited_for(self) -> bool:
        return self._up and not (self._late or self.is_self)

    # -- telling ------------------------------------------------------------------------------

    async def run(self, ask: Ask) -> None:
        """Tell of what there is, and ask whether it is there, until cancelled; then of what is
        left, if it is up. Closes `ask`."""
        try:
            while True:
                self._wake = trio.Event()
                await self._tell_all(ask)
                with trio.move_on_after(CHECK_EVERY_S):
                    await self._wake.wait()
        finally:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(LAST_WORDS_S):
                    if self._up and self._pending:
                        await self._told(ask)
                await ask.aclose()

    async def _tell_all(self, ask: Ask) -> None:
        """Returns when nothing is left."""
        back_off_s = FIRST_BACK_OFF_S
        while True:
            self._heard = trio.Event()
            if await self._told(ask):
                back_off_s = FIRST_BACK_OFF_S
                if not self._pending:
                    return
                continue
            pause_s = back_off_s * random.uniform(0.5, 1.0)  # noqa: S311  spreads hosts
            await trio.sleep(min(pause_s, FIRST_BACK_OFF_S))
            with trio.move_on_after(max(pause_s - FIRST_BACK_OFF_S, 0)):
                await self._heard.wait()
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)

    async def _told(self, ask: Ask) -> bool:
        """One request: whether it was answered as it should."""
        batch = self._pending.take()
        try:
            forgotten = await ask(_document(self._instance, batch))
        except PeerFailed as error:
            self._failed(str(error))
        except Exception:  # whatever is wrong here, it must not be silent, nor end the others
            log.exception("peer not told", peer=self.url)
            self._failed("an error of ours")
        except BaseException:  # cancelled: it may come to no more than its last words
            self._pending.give_back()
            raise
        else:
            self._succeeded(forgotten)
            return True
        return False

    def _say_that_it_is_too_much(self) -> None:
        """Once for each time that much was waiting."""
        if self._pending.collapsed != self._collapsed and not self._too_much:
            self._too_much = True
            log.warning("too much waits for a cache peer: it forgets whole buckets", peer=self.url)
        self._collapsed = self._pending.collapsed

    def _failed(self, reason: str) -> None:
        self._pending.give_back()
        self._say_that_it_is_too_much()
        self._errors += 1
        self._up = False
        if reason not in self._reasons and len(self._reasons) < REASONS_SAID:
            self._reasons.add(reason)
            log.warning("cache peer is away", peer=self.url, reason=reason)
        self._news.unpark_all()

    def _succeeded(self, forgotten: Forgotten) -> None:
        self._forgotten += self._pending.confirm()
        self._succeeded_at_s = self._now()
        self._late = False
        self._too_much = self._too_much and bool(self._pending)
        if not self._up:
            self._up = True
            self._reasons.clear()
            log.info("cache peer is back", peer=self.url)
        if forgotten.instance == self._instance:
            if not self.is_self:
                log.info("cache peer is this server itself, and is left out", peer=self.url)
            self.is_self = True
            self._pending.clear()
        elif self.is_self:  # somebody else is there now, whom nothing was told
            self.is_self = False
            self._pending.note((), [(bucket, "") for bucket in self._buckets])
        self._news.unpark_all()


def _document(instance: str, batch: Iterable[Change]) -> Forget:
    names: list[tuple[str, str]] = []
    below: list[tuple[str, str]] = []
    for bucket, key, prefix in batch:
        (below if prefix else names).append((bucket, key))
    return Forget(instance, names, below)
