"""A log in files: one a day, by UTC, in a directory that never holds more than it may.

What is written goes to the end of the day's file in one piece, so that several processes can write
to the same. Whether that file is still the one under its name is looked at once a second: who moves
it away, or removes it, gets a new one, with a signal or without. What the disk does not take goes
to standard error: it is never in anybody's way.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TextIO

from parparchik.config.model import LogConfig
from parparchik.errors import ConfigError

LOOK_EVERY_S = 1.0
PARTS = 8
"""A day's file is divided when it has this part of all that is kept."""

_NAME = re.compile(r"parparchik-(\d{4}-\d\d-\d\d)(?:\.(\d{1,6}))?\.log")


def open_log(config: LogConfig, *, now: Callable[[], float] = time.time) -> TextIO:
    """Where the log goes. Raises ConfigError for a directory that cannot be written to."""
    if config.directory is None:
        return sys.stderr
    try:
        config.directory.mkdir(parents=True, exist_ok=True)
        files = DailyFiles(
            config.directory, config.keep_days, config.keep_bytes, echo=config.console, now=now
        )
    except OSError as error:
        raise ConfigError(f"the log's directory: {error}") from None
    return io.TextIOWrapper(files, "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]


class DailyFiles(io.RawIOBase):
    """Takes whole lines. The names are `parparchik-<date>.log`, and for further parts of a day
    `parparchik-<date>.<part>.log`. With `echo` all goes to standard error too, otherwise only what
    no file takes. Raises OSError when made, never after."""

    def __init__(
        self,
        directory: Path,
        keep_days: int,
        keep_bytes: int,
        *,
        echo: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._echo = echo
        self._directory = directory
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._part_bytes = max(keep_bytes // PARTS, 1)
        self._now = now
        self._descriptor = -1
        self._path = directory
        self._looked_s = float("-inf")
        self._room_bytes = 0
        self._torn = False
        self._look(now())

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        data = bytes(data)
        if self._echo:
            _say(data)
        try:
            self._write(data)
        except OSError:
            self._spill(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()

    def _write(self, data: bytes) -> None:
        now_s = self._now()
        if self._room_bytes <= 0 or not 0 <= now_s - self._looked_s < LOOK_EVERY_S:
            self._look(now_s)
        # The end of a line that did not fit is not the beginning of the next.
        piece = b"\n" + data if self._torn else data
        written = os.write(self._descriptor, piece)
        self._room_bytes -= written
        self._torn = written < len(piece)
        if self._torn:
            self._spill(piece[written:])

    def _spill(self, data: bytes) -> None:
        if not self._echo:
            _say(data)

    def _look(self, now_s: float) -> None:
        """Have the right file open."""
        self._looked_s = now_s
        today = datetime.fromtimestamp(now_s, UTC).date()
        path = self._current(today)
        if self._descriptor >= 0 and path == self._path and self._is_ours(path):
            self._room_bytes = self._part_bytes - os.fstat(self._descriptor).st_size
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o640)
        self._close()
        self._descriptor, self._path = descriptor, path
        self._room_bytes = self._part_bytes - os.fstat(descriptor).st_size
        self._prune(today)

    def _current(self, today: date) -> Path:
        parts = [part for day, part, _ in self._files() if day == today]
        part = max(parts, default=1)
        path = self._path_of(today, part)
        with suppress(FileNotFoundError):
            if path.stat().st_size >= self._part_bytes:
                return self._path_of(today, part + 1)
        return path

    def _path_of(self, day: date, part: int) -> Path:
        suffix = f".{part}" if part > 1 else ""
        return self._directory / f"parparchik-{day.isoformat()}{suffix}.log"

    def _is_ours(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        return False

    def _files(self) -> list[tuple[date, int, Path]]:
        """Those that are logs of ours, the oldest first."""
        found = []
        for path in self._directory.iterdir():
            if name := _NAME.fullmatch(path.name):
                with suppress(ValueError):
                    found.append((date.fromisoformat(name[1]), int(name[2] or 1), path))
        return sorted(found)

    def _prune(self, today: date) -> None:
        """Several processes may do so at once."""
        oldest = today - timedelta(days=self._keep_days - 1)
        left: list[tuple[Path, int]] = []
        for day, _, path in self._files():
            with suppress(OSError):
                if day < oldest:
                    path.unlink()
                else:
                    left.append((path, path.stat().st_size))
        # The present part may grow to its full size yet.
        total = sum(size for path, size in left if path != self._path) + self._part_bytes
        for path, size in left:
            if total <= self._keep_bytes:
                break
            if path != self._path:
                with suppress(OSError):
                    path.unlink()
                total -= size

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _say(data: bytes) -> None:
    """Standard error may be closed or full: that stops nobody."""
    with suppress(OSError):
        os.write(2, data)
