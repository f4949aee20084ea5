"""The disk tier: the door to it. See the room's `__init__` for how its parts work together."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import trio

from parparchik.cache.disk.directory import Directory, InUse
from parparchik.cache.disk.handles import IDLE_MAX
from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.disk.notes import Notes
from parparchik.cache.disk.parts import HELD_PAUSE_S, Rubbish
from parparchik.cache.disk.reading import Reader
from parparchik.cache.disk.rebuild import Rebuild
from parparchik.cache.disk.saving import Saver
from parparchik.cache.disk.statistics import Counts, DiskStatistics
from parparchik.cache.disk.sweeping import Sweeper
from parparchik.cache.tiers import OpenPiece, PieceName, Record
from parparchik.content import ObjectName
from parparchik.errors import ConfigError

FILES_MAX = 250_000
"""Pieces, however small: each takes about a kilobyte of memory."""

READERS = 8
"""Threads that open files."""

BATCH_BYTES = 64 << 20
"""So many bytes of files get or lose their names in one hop to a thread."""

STOP_LIMIT_S = 5.0
"""For deleting what was removed, at the end."""


log = structlog.get_logger(__name__)


class DiskStore:
    """A Disk (see `tiers`) in a directory of its own. `run` makes it work: before and after that
    nothing is kept and nothing found, and what is forgotten is kept in mind.

    Each process needs a directory of its own. `setting` is how errors call it; `patient`: while
    another process has it, it is waited for. `now` is the wall clock, in seconds.
    """

    def __init__(
        self,
        directory: Path,
        budget_bytes: int,
        *,
        setting: str = "cache.directory",
        patient: bool = False,
        files_max: int = FILES_MAX,
        idle_max: int = IDLE_MAX,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = Directory(directory, setting)
        self._budget_bytes = budget_bytes
        self._patient = patient
        self._leaves = False
        self._scope = trio.CancelScope()
        self._last: DiskStatistics | None = None
        self._files_max = files_max
        self._idle_max = idle_max
        self._now = now
        self._threads = trio.CapacityLimiter(READERS)
        self._begin()

    def _begin(self) -> None:
        """Everything as before a run."""
        self._claimed = False
        self._rebuilt = False
        self._run_id = secrets.token_hex(8)
        self._counts = Counts()
        self._names = Lane(1, BATCH_BYTES)
        self._ledger = Ledger(
            self._directory,
            self._names,
            self._counts,
            budget_bytes=self._budget_bytes,
            files_max=self._files_max,
            idle_max=self._idle_max,
            now=self._now,
        )
        self._sweeper = Sweeper(self._ledger, self._names)
        self._notes = Notes(self._directory, self._ledger, self._sweeper, self._names, self._run_id)
        self._reader = Reader(self._directory, self._ledger, self._counts, self._threads)
        self._saver = Saver(self._directory, self._ledger, self._names, self._counts, self._run_id)

    # -- asking ---------------------------------------------------------------------------------

    def record(self, name: ObjectName, coding: str) -> Record | None:
        generation = self._ledger.index.generation(name, coding)
        return None if generation is None else generation.record

    def has(self, piece: PieceName, record: Record) -> bool:
        return self._ledger.index.find(piece, record) is not None

    def confirm(self, name: ObjectName, coding: str, record: Record) -> None:
        """As `Disk` has it. The next process finds the time at which the pieces were saved, and
        asks S3 again."""
        self._ledger.index.confirm(name, coding, record)

    # -- reading --------------------------------------------------------------------------------

    def open_nowait(self, piece: PieceName, record: Record) -> OpenPiece | None:
        """As `Disk` has it: where its file is open already, or what opening it looks at is in the
        kernel's cache."""
        return self._reader.open_nowait(piece, record)

    async def open(self, piece: PieceName, record: Record) -> OpenPiece | None:
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._reader.open(piece, record)

    # -- changing -------------------------------------------------------------------------------

    async def save(self, piece: PieceName, record: Record, blocks: Sequence[bytes]) -> bool:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._claimed:
            self._counts.refused += 1
            return False
        return await self._saver.save(piece, record, blocks)

    def forget(self, name: ObjectName) -> None:
        """As `Disk` has it. That it stays forgotten whatever happens is certain after `settle`."""
        self._ledger.drop_all(list(self._ledger.index.pieces_of(name)))
        self._saver.forget(name)
        self._notes.add(name, self._saver.number)

    async def forget_prefix(self, bucket: str, prefix: str) -> int:
        """As `Disk` has it. The files are deleted by and by; what is just being saved is not
        counted."""
        for name in set(self._saver.names_below(bucket, prefix)):
            self._saver.forget(name)
        self._notes.add_below(bucket, prefix, self._saver.number)
        return await self._sweeper.purge(bucket, prefix)

    async def settle(self) -> bool:
        """Returns when all that was forgotten so far will stay so, even if the process or the
        machine stops right then: it is written down, and the disk has that. To be awaited after
        `forget` and before whoever changed the object is told that it is done: else a crash in
        between could bring back what was there before, as fresh as it was.

        False where the disk would not have it (full, read-only, broken, or not there yet): then a
        crash may bring back old files until they are stale. That is counted and logged.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._notes.settle()

    # -- running --------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Leave the directory to another, for good: `run` ends, or will not begin. Pieces that are
        open stay readable. What is forgotten from now on is for the other to write down."""
        self._leaves = True
        self._scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Claim the directory and work until cancelled, or told to let go. Started when the
        directory is ours; what is in it is found meanwhile. Raises ConfigError, before it is
        started, where it is not a cache's, in use, or not to be used at all; one on a full or
        broken disk is waited for."""
        with trio.CancelScope() as self._scope:
            if self._leaves:
                self._scope.cancel()
            await self._run(task_status)

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        started = await self._claim(task_status)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._names.run)
                nursery.start_soon(self._saver.lane.run)
                nursery.start_soon(self._sweeper.run)
                if not started:
                    task_status.started()
                nursery.start_soon(self._rebuild)
        finally:
            await self._stop()

    async def _claim(self, task_status: trio.TaskStatus[None]) -> bool:
        """Returns whether `started` was said: the server need not wait for a disk."""
        started = waiting = False
        writing = self._saver.writing
        while True:
            try:
                await trio.to_thread.run_sync(self._directory.claim, limiter=self._threads)
                break
            except (OSError, ConfigError) as error:
                held = self._patient and isinstance(error, InUse)
                if isinstance(error, ConfigError) and not (held or started):
                    raise
                if not held:
                    writing.failed(error)
                elif not waiting:
                    log.info("disk cache: waits for its directory", reason=str(error))
                    waiting = True
                pause_s = HELD_PAUSE_S if held else writing.pause_s
            if not started:
                started = True
                task_status.started()
            await trio.sleep(pause_s)
            writing.admits()
        writing.succeeded()
        self._claimed = True
        self._names.open = True
        self._notes.begin()
        return started

    async def _rebuild(self) -> None:
        directory, ledger = self._directory, self._ledger
        notes = self._notes
        rebuild = Rebuild(directory, ledger, notes.forgotten, self._counts, self._now)
        await rebuild.recall()
        await rebuild.measure()
        self._saver.ready.set()
        await rebuild.index()
        ledger.given = None
        self._rebuilt = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Rubbish(directory).delete)
            if rebuild.whole:
                notes.all_is_known(rebuild.recalled_bytes)
                await notes.keep_short()

    async def _stop(self) -> None:
        names, ledger, saver = self._names, self._ledger, self._saver
        saver.stop()
        self._notes.end()
        await names.close(STOP_LIMIT_S)
        ledger.handles.close_idle()
        if self._leaves:  # what was counted stays so
            self._last = dataclasses.replace(
                self.statistics(), bytes=0, files=0, leaving_bytes=0, open_files=0
            )
        self._directory.release()
        self._begin()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> DiskStatistics:
        if self._last is not None:
            return self._last
        ledger, counts = self._ledger, self._counts
        return DiskStatistics(
            bytes=ledger.space.bytes,
            budget_bytes=self._budget_bytes,
            files=len(ledger.index),
            leaving_bytes=ledger.space.leaving_bytes,
            open_files=ledger.handles.in_use + ledger.handles.idle,
            opens=counts.opens,
            saves=counts.saves,
            saved_bytes=counts.saved_bytes,
            save_failures=self._saver.writing.failures,
            refused=counts.refused,
            forgotten_saves=counts.forgotten_saves,
            evictions=counts.evictions,
            evicted_bytes=counts.evicted_bytes,
            evicted_at_s=counts.evicted_at_s,
            corrupt=counts.corrupt,
            read_failures=self._reader.trouble.failures,
            stuck_files=len(ledger.stuck),
            dropped=tuple(counts.dropped.items()),
            degraded=self._saver.writing.reason,
            unreadable=self._reader.trouble.reason,
            ready=self._saver.ready.is_set(),
            rebuild_done=self._rebuilt,
            rebuilt=counts.rebuilt,
            to_rebuild=counts.to_rebuild,
        )
