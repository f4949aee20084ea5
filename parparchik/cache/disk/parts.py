"""A directory for the caches of several processes, each in a part of its own.

    CACHEDIR.TAG, lock    as in any directory of a cache; held by the parent of these processes
    worker-1, worker-2    the parts: a whole cache each, see `directory`

One process alone has its pieces in the directory itself. What lies where nobody has a cache at
present (a part of more processes than there are now, pieces of one process beside the parts of
several) is told of no change, and must never be believed again. `Directory.claim` sees to that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog
import trio

from parparchik.cache.disk import files
from parparchik.cache.disk.directory import Directory, InUse, is_folder_of_pieces, part_number
from parparchik.cache.disk.forgotten import Forgotten
from parparchik.content import ObjectName
from parparchik.errors import ConfigError

FOLDERS_AT_ONCE = 64

HELD_PAUSE_S = 0.1
"""Until a directory that another process has is looked at again."""

log = structlog.get_logger(__name__)


def part_of(directory: Path, number: int) -> Path:
    """Where worker `number`, counted from 1, has its cache."""
    return directory / f"worker-{number}"


async def check_directory(path: Path, setting: str) -> None:
    """Whether one process could have its cache there now. Raises ConfigError. A full or broken
    disk is no reason against it: it is waited for."""
    directory = Directory(path, setting)
    with contextlib.suppress(OSError):
        await trio.to_thread.run_sync(directory.claim)
    directory.release()


async def discard_directory(path: Path, setting: str) -> None:
    """Nobody has a cache there any more, when the one that has it now lets go. What is in it must
    not be believed by whoever comes back to it: changes are not told there from now on."""
    parts = DiskParts(path, 0, setting)
    while True:
        try:
            await parts.claim()
        except InUse:
            await trio.sleep(HELD_PAUSE_S)
        except (OSError, ConfigError) as error:
            log.error("disk cache: not emptied", directory=str(path), reason=str(error))  # noqa: TRY400
            return
        else:
            break
    await parts.discard()


class DiskParts:
    """The directory of `count` processes, as their parent has it: it keeps nothing there itself.
    `setting` is how errors call it."""

    def __init__(self, path: Path, count: int, setting: str) -> None:
        self.path = path
        self._setting = setting
        self._count = count
        self._directory = Directory(path, setting, unused=self._is_unused)
        self._run_id = secrets.token_hex(8)
        self._noting: defaultdict[int, trio.Lock] = defaultdict(trio.Lock)

    async def claim(self) -> None:
        """Raises ConfigError where it is in use, or not a cache's, and OSError where the disk is
        full or broken."""
        await trio.to_thread.run_sync(self._directory.claim)

    async def discard(self) -> None:
        """Let go of it, and of all that is in it: nobody has a cache there any more."""
        try:
            await trio.to_thread.run_sync(self._directory.set_aside, _is_anything)
            await Rubbish(self._directory).delete()
        except OSError as error:
            log.error("disk cache: not emptied", directory=str(self.path), reason=str(error))  # noqa: TRY400
        finally:
            self.release()

    async def run(self) -> None:
        """Delete what nobody has use for; returns when that is done."""
        await Rubbish(self._directory).delete()

    def release(self) -> None:
        self._directory.release()

    async def note(
        self, number: int, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]
    ) -> bool:
        """Write down in a part what is not to be believed of it; it stays so, whatever happens.
        False where a process has that part. Raises OSError."""
        lines = b"".join(self._lines(names, below))
        async with self._noting[number]:
            return await trio.to_thread.run_sync(self._note, number, lines)

    def _lines(
        self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]
    ) -> Iterator[bytes]:
        forgotten = Forgotten(self._run_id)
        for name in names:
            with contextlib.suppress(ValueError):  # nothing of such a name was ever saved
                yield forgotten.add(name, 0)
        for bucket, prefix in below:
            with contextlib.suppress(ValueError):
                yield forgotten.add_below(bucket, prefix, 0)

    def _note(self, number: int, lines: bytes) -> bool:
        part = Directory(part_of(self.path, number), self._setting)
        try:
            part.lock()
        except FileNotFoundError:
            return True  # nobody has ever had a cache there
        except InUse:
            return False
        try:
            files.append(part.forgotten, lines)
            files.sync_file(part.forgotten)
            files.sync_folder(part.path)
        finally:
            part.release()
        return True

    def _is_unused(self, name: str) -> bool:
        number = part_number(name)
        if number is None:
            return is_folder_of_pieces(name)
        return not 1 <= number <= self._count


def _is_anything(name: str) -> bool:
    return is_folder_of_pieces(name) or part_number(name) is not None


class Rubbish:
    """Folders that were set aside in `tmp/`."""

    def __init__(self, directory: Directory) -> None:
        self._root = directory.tmp
        self._folders = self._walk()

    async def delete(self) -> None:
        """A few folders at a time, so that it can be cancelled. What cannot be deleted is left to
        the next process."""
        while await trio.to_thread.run_sync(self._go_on):
            pass

    def _go_on(self) -> bool:
        return all(next(self._folders, None) is not None for _ in range(FOLDERS_AT_ONCE))

    def _walk(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._root, topdown=False):
            if folder == self._root:  # files that are being written
                continue
            with contextlib.suppress(OSError):
                for name in names:
                    os.unlink(f"{folder}/{name}")
                os.rmdir(folder)
            yield folder
