"""The directory: what lies where in it, and whose it is.

    CACHEDIR.TAG    says that all this is ours, and that backups may leave it out
    lock            held by the one process that uses it
    forgotten       what the next process must not believe: see `forgotten`
    tmp/            files that are being written; what a process leaves here is rubbish
    ab/cd/abcd...   the pieces, by the first digits of their names

Nothing is ever deleted in a directory without that tag, and nothing in one with it that could not
be ours by its place and kind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from parparchik.cache.disk import files
from parparchik.errors import ConfigError

# The first line is what https://bford.info/cachedir/ asks for.
_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This directory is the disk cache of parparchik, which deletes files in it.
"""
_FROM_A_CLAIM = {"CACHEDIR.TAG", "lock"}
_FROM_A_FILE_SYSTEM = {"lost+found"}
_TWO_DIGITS = re.compile(r"[0-9a-f]{2}")
_PART = re.compile(r"worker-(\d{1,6})")
_MISTAKES = {
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL),
}


def part_number(name: str) -> int | None:
    """The number of the part that a folder is by its name, None where it is none."""
    found = _PART.fullmatch(name)
    return int(found[1]) if found else None


def is_folder_of_pieces(name: str) -> bool:
    return _TWO_DIGITS.fullmatch(name) is not None


def _is_part(name: str) -> bool:
    return part_number(name) is not None


class InUse(ConfigError):
    """Another process has the directory."""


class Directory:
    """`setting` is how errors call it. `unused` says which folders in it, by their names, are of no
    use any more: the parts of several processes (see `parts`), where one has it alone."""

    __slots__ = ("_lock_fd", "_unused", "forgotten", "path", "setting", "tmp")

    def __init__(
        self, path: Path, setting: str, *, unused: Callable[[str], bool] = _is_part
    ) -> None:
        self.path = str(path)
        self.setting = setting
        self.tmp = f"{self.path}/tmp"  # noqa: S108  no shared one
        self.forgotten = f"{self.path}/forgotten"
        self._lock_fd = -1
        self._unused = unused

    def file(self, name: str) -> str:
        return f"{self.path}/{name[:2]}/{name[2:4]}/{name}"

    def folder(self, name: str) -> str:
        return f"{self.path}/{name[:2]}/{name[2:4]}"

    def claim(self) -> None:
        """Make it ours alone, and empty `tmp/`. Blocks. Raises ConfigError where that cannot be
        mended by waiting, and OSError where it can: a full, broken or read-only disk."""
        try:
            self._claim()
        except OSError as error:
            self.release()
            if error.errno in _MISTAKES:
                reason = error.strerror or error
                raise ConfigError(f"{self.setting}={self.path}: {reason}") from None
            raise
        except ConfigError:
            self.release()
            raise

    def release(self) -> None:
        """Let another process have it; safe when it was never claimed."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _claim(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        found = set(os.listdir(self.path)) - _FROM_A_FILE_SYSTEM
        tag = files.read_all(f"{self.path}/CACHEDIR.TAG", 4096)
        # A claim that was broken off leaves a lock and part of a tag.
        unfinished = found <= _FROM_A_CLAIM and _TAG.startswith(tag)
        if tag != _TAG and not unfinished:
            raise ConfigError(
                f"{self.setting}={self.path}: holds files that are not a cache's; "
                "name a directory that is empty or does not exist yet"
            )
        self.lock(os.O_CREAT)
        if tag != _TAG:
            Path(self.path, "CACHEDIR.TAG").write_bytes(_TAG)
        os.makedirs(self.tmp, mode=0o700, exist_ok=True)
        with os.scandir(self.tmp) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
        self.set_aside(self._unused)

    def lock(self, flags: int = 0) -> None:
        """Have it for ourselves, whatever is in it. Raises InUse and OSError."""
        path = f"{self.path}/lock"
        self._lock_fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise InUse(
                f"{self.setting}={self.path}: another process uses it; "
                "each needs a directory of its own"
            ) from None

    def set_aside(self, is_unused: Callable[[str], bool]) -> None:
        """Folders that nobody keeps true are rubbish from now on, whatever happens."""
        with os.scandir(self.path) as entries:
            unused = [each.path for each in entries if is_unused(each.name)]
        for path in unused:
            os.rename(path, f"{self.tmp}/{secrets.token_hex(8)}")
        if unused:
            files.sync_folder(self.path)
