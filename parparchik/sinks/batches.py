"""A sink's queue, and the task that empties it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple

import structlog
import trio

from parparchik.access import Observation
from parparchik.config.model import SinkConfig
from parparchik.metrics import SinkStatistics
from parparchik.sinks.destination import Destination, SinkFailed, SinkRefused, T
from parparchik.sinks.measurement import Measurement

FIRST_BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 60.0
LAST_WORDS_S = 2.0
"""For what is still queued when the process ends."""

Aside = Callable[[Callable[[], object]], Awaitable[Any]]
"""Calls something that takes its time, and gives what it gives."""

log = structlog.get_logger(__name__)


class Note(NamedTuple):
    """What is known of a request when it has been answered."""

    timestamp_ns: int
    common: Observation
    seconds: float
    peer: str


class Batches(Generic[T]):
    """Notes to a destination, by the batch: when there are `batch_max`, or after `flush_s`. One
    that fails is sent again, ever later, while the queue fills and what does not fit is dropped.
    """

    def __init__(
        self,
        config: SinkConfig,
        server: str,
        destination: Destination[T],
        measure: Callable[[Note], Measurement],
        *,
        aside: Aside = trio.to_thread.run_sync,
    ) -> None:
        self._config = config
        self._server = server
        self._destination = destination
        self._measure = measure
        self._aside = aside
        self._queue: deque[Note] = deque()
        self._enough = trio.Event()
        self._is_up = True
        self._sent = self._dropped = self._refused = self._failures = 0

    def note(self, note: Note) -> None:
        """From the event loop; never waits."""
        waiting = len(self._queue)
        if waiting >= self._config.queue_max:
            self._dropped += 1
            return
        self._queue.append(note)
        if waiting + 1 == self._config.batch_max:
            self._enough.set()

    def statistics(self) -> SinkStatistics:
        return SinkStatistics(
            self._config.kind,
            self._server,
            self._sent,
            self._dropped,
            self._refused,
            self._failures,
            len(self._queue),
        )

    async def run(self) -> None:
        """Send until cancelled, and then what is left, if the sink is up."""
        try:
            while True:
                with trio.move_on_after(self._config.flush_s):
                    await self._enough.wait()
                self._enough = trio.Event()
                await self._send_all()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                if self._is_up:
                    await self._send_all()
                await self._destination.aclose()
            self._dropped += len(self._queue)
            self._queue.clear()

    async def _send_all(self) -> None:
        while self._queue:
            size = min(len(self._queue), self._config.batch_max)
            notes = [self._queue.popleft() for _ in range(size)]
            try:
                await self._send(notes)
            except Exception:  # whatever is wrong with one batch, the next is another
                log.exception("figures lost", sink=self._server, requests=size)
                self._refused += size
            except BaseException:  # cancelled: it is sent last, with the rest
                self._queue.extendleft(reversed(notes))
                raise

    async def _send(self, notes: Sequence[Note]) -> None:
        batch: T = await self._aside(partial(self._prepare, notes))
        back_off_s = FIRST_BACK_OFF_S
        while True:
            try:
                with trio.fail_after(self._config.timeout_s):
                    await self._destination.send(batch)
            except SinkRefused as error:
                self._refused += len(notes)
                log.warning("figures refused", sink=self._server, reason=str(error))
                return
            except (SinkFailed, trio.TooSlowError) as error:
                self._failures += 1
                if self._is_up:
                    self._is_up = False
                    reason = str(error) or "no answer in time"
                    log.warning("sink is away", sink=self._server, reason=reason)
            else:
                self._sent += len(notes)
                if not self._is_up:
                    self._is_up = True
                    log.info("sink is back", sink=self._server, dropped=self._dropped)
                return
            await trio.sleep(back_off_s * random.uniform(0.5, 1.0))  # noqa: S311  spreads workers
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)

    def _prepare(self, notes: Sequence[Note]) -> T:
        return self._destination.prepare([self._measure(note) for note in notes])
