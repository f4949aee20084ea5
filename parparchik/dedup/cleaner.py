"""The cleaner: what nobody refers to is deleted, what is referred to and missing is told of.

A pass deletes what is known to be garbage, orphans past their grace included. Then, in a *sweep*,
it compares all that S3 has with all blobs there should be, in constant memory, however many there
are, and deletes what nobody knows of.

One process cleans at a time, and on a schedule it is always the same one: the others stand by, and
one of them goes on when nobody has cleaned for a while. Should it ever be two, that costs nothing
but their time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import structlog
import trio

from parparchik.content import ObjectBytes
from parparchik.dedup.cleaning import CleanPolicy, Lister, NotLeading, Pass
from parparchik.dedup.order import OnStep, ignore_step
from parparchik.dedup.reports import CleanReport, Progress, ignore_progress
from parparchik.dedup.types import Metadata
from parparchik.errors import UpstreamError

_RESIGN_S = 10.0
_JITTER = (0.75, 1.25)  # not all at once
_STANDBY = 1.5  # intervals without a pass, more than the leader ever lets go by

log = structlog.get_logger(__name__)


class Cleaner:
    """`last` is what the last whole pass came to, and `ended_s` when that was, as long as this is
    the process that cleans; `passes` how many there were, `failures` how many were broken off."""

    def __init__(
        self,
        metadata: Metadata,
        bucket: ObjectBytes,
        lister: Lister,
        policy: CleanPolicy,
        *,
        now: Callable[[], float] = time.time,
        on_step: OnStep = ignore_step,
    ) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._lister = lister
        self._policy = policy
        self._now = now
        self._on_step = on_step
        self.last: CleanReport | None = None
        self.ended_s = 0.0
        self.passes = 0
        self.failures = 0

    async def run(
        self,
        interval_s: float,
        sweep_interval_s: float,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """A pass every `interval_s` or so, with a sweep when one is due, until cancelled; only
        where no other process has made one lately."""
        task_status.started()
        swept_s = trio.current_time()
        while True:
            await trio.sleep(interval_s * random.uniform(*_JITTER))  # noqa: S311
            sweep = trio.current_time() - swept_s >= sweep_interval_s
            try:
                report = await self.clean(sweep=sweep, unled_s=_STANDBY * interval_s)
            except UpstreamError as error:
                log.warning("cleaning was broken off", reason=str(error))
            except Exception:
                log.exception("cleaning failed")
            else:
                if report.led and sweep:
                    swept_s = trio.current_time()

    async def clean(
        self,
        *,
        dry_run: bool = False,
        sweep: bool = True,
        unled_s: float = 0.0,
        progress: Progress = ignore_progress,
    ) -> CleanReport:
        """One pass, unless another process is at one, or was less than `unled_s` ago. Raises
        UpstreamError where it cannot go on: what has been done stays done. A dry run changes
        nothing, and compares all there is."""
        one = Pass(
            self._metadata,
            self._bucket,
            self._lister,
            self._policy,
            now=self._now,
            on_step=self._on_step,
            progress=progress,
            unled_s=unled_s,
        )
        if dry_run:
            await one.look()
            return one.report()
        try:
            await one.clean(sweep=sweep)
        except NotLeading:
            self.last = None  # somebody else knows better now
            return one.report(led=False)
        except BaseException:
            self.failures += 1
            await self._resign(one)
            raise
        await self._resign(one)
        self.passes += 1
        self.ended_s = self._now()
        self.last = one.report()
        return self.last

    async def _resign(self, one: Pass) -> None:
        with trio.move_on_after(_RESIGN_S, shield=True):
            try:
                await one.resign()
            except UpstreamError as error:
                log.warning("the lead of cleaning runs out by itself", reason=str(error))
