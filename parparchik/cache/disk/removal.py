"""Files on their way out, and the line of changes that they leave by.

All names in the directory are given and taken away by one lane, in the order of the decisions: an
old file can never be renamed over a newer one, nor a newer one be deleted in an older one's place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from parparchik.cache.disk import files
from parparchik.cache.disk.directory import Directory

if TYPE_CHECKING:
    from parparchik.cache.disk.index import Entry

FOLDERS_MAX = 8
"""More folders than these are synced by syncing the file system: each costs a flush of its own."""


class Removal:
    """A file that is no longer in the index. Its bytes count until it has neither a name nor a
    reader. `stuck`: the disk would not let go of it. `counted`: where, in `Space`."""

    __slots__ = ("cost_bytes", "counted", "name", "named", "read", "stuck")

    def __init__(self, name: str, cost_bytes: int, *, read: bool = False) -> None:
        self.name = name
        self.cost_bytes = cost_bytes
        self.named = True
        self.read = read
        self.stuck = False
        self.counted: Literal["nowhere", "held", "leaving"] = "nowhere"

    @property
    def gone(self) -> bool:
        return not self.named and not self.read


class Unsynced:
    """Folders in which names were taken away that a crash of the machine might bring back. Used in
    the lane's thread alone. `failures` counts names that could not be taken away."""

    __slots__ = ("_many", "_paths", "_root", "failures")

    def __init__(self, root: str) -> None:
        self.failures = 0
        self._root = root
        self._paths: set[str] = set()
        self._many = False

    def unlink(self, path: str) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        except OSError:
            self.failures += 1
            raise
        if not self._many:
            self._paths.add(os.path.dirname(path))
            self._many = len(self._paths) > FOLDERS_MAX

    def sync(self) -> None:
        if self._many:
            files.sync_file_system(self._root)
        else:
            for path in self._paths:
                files.sync_folder(path)
        self._many = False
        self._paths.clear()


class Unlink:
    """Take away a file's name."""

    __slots__ = ("_directory", "_removal", "_then", "_unsynced", "size_bytes")

    def __init__(
        self,
        directory: Directory,
        unsynced: Unsynced,
        removal: Removal,
        then: Callable[[Removal, Exception | None], None],
    ) -> None:
        self.size_bytes = removal.cost_bytes
        self._directory = directory
        self._unsynced = unsynced
        self._removal = removal
        self._then = then

    def do(self) -> None:
        self._unsynced.unlink(self._directory.file(self._removal.name))

    def finish(self, error: Exception | None) -> None:
        self._then(self._removal, error)


class UnlinkMany:
    """Take away the names of pieces that nobody has open. `then` is told which ones stay."""

    __slots__ = ("_directory", "_entries", "_stuck", "_then", "_unsynced", "error", "size_bytes")

    def __init__(
        self,
        directory: Directory,
        unsynced: Unsynced,
        entries: Sequence[Entry],
        then: Callable[[Sequence[Removal], OSError | None], None],
    ) -> None:
        self.size_bytes = sum(entry.cost_bytes for entry in entries)
        self.error: OSError | None = None
        self._directory = directory
        self._unsynced = unsynced
        self._entries = entries
        self._stuck: list[Removal] = []
        self._then = then

    def do(self) -> None:
        for entry in self._entries:
            name = entry.file_name
            try:
                self._unsynced.unlink(self._directory.file(name))
            except OSError as error:
                self.error = error
                self._stuck.append(Removal(name, entry.cost_bytes))

    def finish(self, error: Exception | None) -> None:
        self._then(self._stuck, self.error)


class Discard:
    """Delete a file in `tmp/`, or close an fd; nobody minds when that fails."""

    __slots__ = ("_fd", "_path", "_then", "size_bytes")

    def __init__(self, path: str, fd: int, size_bytes: int, then: Callable[[], None]) -> None:
        self.size_bytes = size_bytes
        self._path = path
        self._fd = fd
        self._then = then

    def do(self) -> None:
        try:
            if self._path:
                os.unlink(self._path)
        finally:
            if self._fd >= 0:
                os.close(self._fd)

    def finish(self, error: Exception | None) -> None:
        self._then()


class Touch:
    """Tell the next process that a file was used."""

    __slots__ = ("_path", "_time_s", "size_bytes")

    def __init__(self, path: str, time_s: float) -> None:
        self.size_bytes = 0
        self._path = path
        self._time_s = time_s

    def do(self) -> None:
        os.utime(self._path, (self._time_s, self._time_s), follow_symlinks=False)

    def finish(self, error: Exception | None) -> None:
        """A file that is gone, or a disk that takes nothing: the order is a hint."""
