"""The file in which is written down what was forgotten, and the work on it that the lane does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import trio

from parparchik.cache.disk import files
from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.removal import Unsynced


class ForgottenLog:
    """Used in the lane's thread alone, but for `size_bytes`."""

    __slots__ = ("_directory", "_named", "_synced", "size_bytes")

    def __init__(self, directory: Directory) -> None:
        self.size_bytes = 0
        self._directory = directory
        self._named = False  # it is certain that a crash of the machine leaves it its name
        self._synced = True

    def append(self, line: bytes) -> None:
        self._synced = False
        files.append(self._directory.forgotten, line)
        self.size_bytes += len(line)

    def sync(self) -> None:
        if not self._synced:
            files.sync_file(self._directory.forgotten)
            if not self._named:
                files.sync_folder(self._directory.path)
            self._synced = self._named = True

    def clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._directory.forgotten)
        self.size_bytes = 0
        self._named = False
        self._synced = True


class Note:
    """Write down what was forgotten."""

    __slots__ = ("_line", "_log", "_then", "size_bytes")

    def __init__(
        self, log: ForgottenLog, line: bytes, then: Callable[[Exception | None], None]
    ) -> None:
        self.size_bytes = len(line)
        self._log = log
        self._line = line
        self._then = then

    def do(self) -> None:
        self._log.append(self._line)

    def finish(self, error: Exception | None) -> None:
        self._then(error)


class Sync:
    """Make durable what was written down before."""

    __slots__ = ("_log", "done", "error", "size_bytes")

    def __init__(self, log: ForgottenLog) -> None:
        self.size_bytes = 0
        self.done = trio.Event()
        self.error: Exception | None = None
        self._log = log

    def do(self) -> None:
        self._log.sync()

    def finish(self, error: Exception | None) -> None:
        self.error = error
        self.done.set()


class Clear:
    """Make durable that what was forgotten is deleted; then it need not be written down. `cleared`
    says whether that is so: not where a name could not be taken away of which `failures`, those
    known so far, does not tell."""

    __slots__ = ("_failures", "_log", "_unsynced", "cleared", "done", "error", "size_bytes")

    def __init__(self, log: ForgottenLog, unsynced: Unsynced, failures: int) -> None:
        self.size_bytes = 0
        self.done = trio.Event()
        self.error: Exception | None = None
        self.cleared = False
        self._log = log
        self._unsynced = unsynced
        self._failures = failures

    def do(self) -> None:
        self._unsynced.sync()
        if self._unsynced.failures == self._failures:
            self._log.clear()
            self.cleared = True

    def finish(self, error: Exception | None) -> None:
        self.error = error
        self.done.set()
