"""What an earlier process has left in the directory.

First all files are counted, by name and size: before that nobody knows how much room there is, and
nothing is saved. Then they are looked into, those that were used last first, and each is a piece
from then on. What is no piece is deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator

import structlog
import trio

from parparchik.cache.disk import files
from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.forgotten import Forgotten
from parparchik.cache.disk.format import Tail, Unreadable, cost_bytes, same_generation
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.disk.space import Found
from parparchik.cache.disk.statistics import Counts

FOLDERS_AT_ONCE = 256
FILES_AT_ONCE = 64
FORGOTTEN_MAX_BYTES = 64 << 20

_TWO_DIGITS = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger(__name__)


class Survey:
    """What lies in the directory. Its methods block; they run in one thread at a time."""

    def __init__(self, directory: Directory) -> None:
        self.found: list[Found] = []
        self.foreign = 0
        self.unreadable = 0
        self._directory = directory
        self._folders = self._walk()

    def go_on(self) -> bool:
        """Look into some more folders; False at the end. A folder that cannot be read is left
        out: what is in it is not used."""
        for _ in range(FOLDERS_AT_ONCE):
            folder = next(self._folders, None)
            if folder is None:
                # The last used first; which of two that are as old comes first is settled, too.
                self.found.sort(key=lambda found: (-found.touched_s, found.name))
                return False
            self._look_into(folder)
        return True

    def _walk(self) -> Iterator[str]:
        for first in self._folders_in(self._directory.path, keep_files=True):
            for second in self._folders_in(first, keep_files=False):
                yield second
                # Folders are not counted, so that those that are empty are not to pile up.
                with contextlib.suppress(OSError):
                    os.rmdir(second)

    def _folders_in(self, path: str, *, keep_files: bool) -> Iterator[str]:
        try:
            with os.scandir(path) as entries:
                listed = list(entries)
        except OSError:
            self.unreadable += 1
            return
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                if _TWO_DIGITS.fullmatch(entry.name):
                    yield entry.path
            elif not keep_files:
                self._delete(entry.path)

    def _look_into(self, folder: str) -> None:
        digits = folder[-5:-3] + folder[-2:]
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        continue
                    regular = entry.is_file(follow_symlinks=False)
                    fits = _NAME.fullmatch(entry.name) and entry.name.startswith(digits)
                    if not (regular and fits):
                        self._delete(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    cost = cost_bytes(status.st_size)
                    self.found.append(Found(entry.name, cost, status.st_mtime))
        except OSError:
            self.unreadable += 1

    def _delete(self, path: str) -> None:
        self.foreign += 1
        with contextlib.suppress(OSError):
            os.unlink(path)


class Rebuild:
    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        forgotten: Forgotten,
        counts: Counts,
        now: Callable[[], float],
    ) -> None:
        self.whole = True  # all that is there was looked into
        self.recalled_bytes = 0  # of what was forgotten before
        self._directory = directory
        self._ledger = ledger
        self._forgotten = forgotten
        self._counts = counts
        self._limiter = trio.CapacityLimiter(1)
        self._now = now

    async def recall(self) -> None:
        """What earlier runs had forgotten. Before anything else: what is told by it is deleted."""
        path = self._directory.forgotten
        try:
            lines = await trio.to_thread.run_sync(
                files.read_all, path, FORGOTTEN_MAX_BYTES, limiter=self._limiter
            )
        except OSError as error:
            log.warning("disk cache: emptied, what was forgotten is not known", reason=str(error))
            self._forgotten.distrust()
        else:
            self.recalled_bytes = len(lines)
            if len(lines) < FORGOTTEN_MAX_BYTES:
                self._forgotten.read(lines)
            else:
                self._forgotten.distrust()

    async def measure(self) -> None:
        """Count what is there, and delete what the budget does not allow for."""
        survey = Survey(self._directory)
        while await trio.to_thread.run_sync(survey.go_on, limiter=self._limiter):
            pass
        space, counts = self._ledger.space, self._counts
        space.unseen.extend(survey.found)
        space.unseen_bytes = sum(found.cost_bytes for found in survey.found)
        counts.to_rebuild = len(survey.found)
        counts.dropped["foreign"] += survey.foreign
        counts.dropped["unreadable"] += survey.unreadable
        self.whole = not survey.unreadable
        while space.bytes > space.budget_bytes or len(space.unseen) > space.files_max:
            self._ledger.drop_found(space.unseen.pop(), "over_budget")
            counts.rebuilt += 1

    async def index(self) -> None:
        """Look into all of it."""
        unseen = self._ledger.space.unseen
        while unseen:
            batch = [unseen.popleft() for _ in range(min(FILES_AT_ONCE, len(unseen)))]
            tails = await trio.to_thread.run_sync(self._read, batch, limiter=self._limiter)
            for found, tail in zip(batch, tails, strict=True):
                self._judge(found, tail)
                self._counts.rebuilt += 1
        dropped = {why: count for why, count in self._counts.dropped.items() if count}
        log.info("disk cache: read in", files=len(self._ledger.index), dropped=dropped)

    def _read(self, batch: list[Found]) -> list[Tail | Exception]:
        return [self._read_one(found) for found in batch]

    def _read_one(self, found: Found) -> Tail | Exception:
        try:
            return files.read_tail(self._directory.file(found.name), found.name)
        except (Unreadable, OSError) as error:
            return error

    def _judge(self, found: Found, tail: Tail | Exception) -> None:
        ledger = self._ledger
        if isinstance(tail, Unreadable):
            ledger.drop_found(found, tail.reason)
        elif isinstance(tail, Exception):
            ledger.drop_found(found, "unreadable")
        elif self._forgotten.covers(tail.piece.name, tail.run, tail.number):
            ledger.drop_found(found, "forgotten")
        elif ledger.given is not None and found.name in ledger.given:
            ledger.drop_found(found, "superseded")
        else:
            self._add(found, tail)

    def _add(self, found: Found, tail: Tail) -> None:
        """Of an object's generations the one that was confirmed last is kept, and one that came
        since the start before all others."""
        record = tail.record
        if record.confirmed_at_s > self._now():
            # The clock was set back since: nobody knows when that was.
            record = dataclasses.replace(record, confirmed_at_s=0.0)
        known = self._ledger.index.generation(tail.piece.name, tail.piece.coding)
        if known is not None and not same_generation(known.record, record):
            if known.live or known.record.confirmed_at_s >= record.confirmed_at_s:
                self._ledger.drop_found(found, "superseded")
                return
            dropped = self._ledger.drop_other_generations(tail.piece, record)
            self._counts.dropped["superseded"] += dropped
        self._ledger.add_found(found, tail.piece, record, tail.data_bytes)
