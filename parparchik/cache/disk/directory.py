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
from pathlib import Path

from parparchik.cache.disk import files
from parparchik.errors import ConfigError

# The first line is what https://bford.info/cachedir/ asks for.
_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This directory is the disk cache of parparchik, which deletes files in it.
"""
_FROM_A_CLAIM = {"CACHEDIR.TAG", "lock"}
_FROM_A_FILE_SYSTEM = {"lost+found"}
_MISTAKES = {
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL),
}


class Directory:
    """`setting` is how errors call it."""

    __slots__ = ("_lock_fd", "forgotten", "path", "setting", "tmp")

    def __init__(self, path: Path, setting: str) -> None:
        self.path = str(path)
        self.setting = setting
        self.tmp = f"{self.path}/tmp"  # noqa: S108  no shared one
        self.forgotten = f"{self.path}/forgotten"
        self._lock_fd = -1

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
        self._lock_fd = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{self.setting}={self.path}: another process uses it; "
                "each needs a directory of its own"
            ) from None
        if tag != _TAG:
            Path(self.path, "CACHEDIR.TAG").write_bytes(_TAG)
        os.makedirs(self.tmp, mode=0o700, exist_ok=True)
        with os.scandir(self.tmp) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
