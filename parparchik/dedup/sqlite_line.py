"""Where processes that wait for SQLite's lock stand in line: who came first has it next.

SQLite knows no order among those who wait: each asks again and again, and who asks at the right
moment has it. With a disk that takes half a second for an fsync, eight processes that all have
something to write, and bad luck, one of them gets nothing for ten seconds.

A place in the line is a lock on one byte of a file beside the database: the byte whose number is
the time, in microseconds, at which the place was taken. Nothing is ever written there. Whoever
holds one sees whether anybody holds a lower one. The kernel takes the places of the dead away; for
those that have been stopped the line is followed for a while only. Where it cannot be kept, all ask
as they come, which is not fair, and never wrong.

Only who has waited for some time is let go first. Between them all others may still push: whoever
is at work has the lock again soonest, and strict turns would cost a fifth of all commits.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

import structlog

PATIENCE_S = 0.1
"""Who has waited for so long goes before all who have not."""

_NONE = -1
_SHARED = fcntl.LOCK_SH | fcntl.LOCK_NB
_ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB

log = structlog.get_logger(__name__)


class Line:
    """Of one process; used by one thread at a time. `file` is the database."""

    __slots__ = ("_descriptor", "_patience_us", "_place")

    def __init__(self, file: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._place = _NONE
        self._patience_us = int(patience_s * 1e6)
        self._descriptor = _opened(file)

    def is_first(self) -> bool:
        """Whether nobody who has waited for long stands before us."""
        if self._descriptor == _NONE:
            return True
        end = _now_us() - self._patience_us
        if self._place != _NONE:
            end = min(end, self._place)
        if not self._lock(_SHARED, 0, end):
            return False
        self._lock(fcntl.LOCK_UN, 0, end)
        return True

    def stand(self) -> None:
        """Take a place, the last one."""
        if self._descriptor == _NONE:
            return
        place = _now_us()
        if self._lock(_ALONE, place, 1):
            self._place = place

    def leave(self) -> None:
        """It is our turn, or we wait no longer. Having no place is fine."""
        if self._place != _NONE:
            self._lock(fcntl.LOCK_UN, self._place, 1)
            self._place = _NONE

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _NONE
        self._place = _NONE
        if descriptor != _NONE:
            os.close(descriptor)

    def _lock(self, how: int, start: int, length: int) -> bool:
        """False where somebody else's lock is in the way."""
        try:
            fcntl.lockf(self._descriptor, how, length, start)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:  # the system has no locks left, or knows none
            log.warning("dedup database: there is no line to stand in", reason=str(error))
            self.close()
            return True
        return True


def _opened(file: Path) -> int:
    """As readable and writable as the database is: for the same processes."""
    try:
        database = file.stat()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(f"{file}-line", flags, database.st_mode & 0o666)
    except OSError as error:
        log.warning("dedup database: there is no line to stand in", reason=str(error))
        return _NONE
    with suppress(OSError):  # somebody else's
        os.fchown(descriptor, database.st_uid, database.st_gid)
        os.fchmod(descriptor, database.st_mode & 0o666)
    return descriptor


def _now_us() -> int:
    """The same clock for all processes of a host."""
    return time.monotonic_ns() // 1000
