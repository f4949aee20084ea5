"""The record of every answered request: the counters, and one log line."""

from __future__ import annotations

from parparchik.access.lines import Lines
from parparchik.access.redact import redact_url
from parparchik.metrics import Counter, Traffic

CLIENT_GONE = 499
"""Counted for a client that left before an answer began, as nginx does."""


class AccessLog:
    """Counts into `traffic`, and writes a line per request where there are `lines`."""

    def __init__(self, traffic: Traffic, lines: Lines | None = None) -> None:
        self._traffic = traffic
        self._lines = lines

    def prepare(
        self, *, method: str, target: bytes, status: int, kind: str, location: bytes = b""
    ) -> Record:
        """What requests that are answered alike have in common. `target` and `location` lose
        their secrets here."""
        counter = self._traffic.counter(kind, status)
        if self._lines is None:
            return Record(counter, None, "")
        fields: dict[str, object] = {
            "method": method,
            "path": redact_url(target),
            "status": status,
            "kind": kind,
        }
        if location:
            fields["location"] = redact_url(location)
        return Record(counter, self._lines, self._lines.prepare(fields))

    def flush(self) -> None:
        """Write what was recorded since the last call."""
        if self._lines is not None:
            self._lines.flush()


class Record:
    """An answer, ready to be recorded every time that it is given."""

    __slots__ = ("_count", "_lines", "_prepared")

    def __init__(self, counter: Counter, lines: Lines | None, prepared: str) -> None:
        self._count = counter.add
        self._lines = lines
        self._prepared = prepared

    def add(self, seconds: float, client: str, request_id: bytes) -> None:
        """It was given once more, `seconds` after its request had arrived."""
        self._count(seconds)
        if self._lines is not None:
            self._lines.append(self._prepared, seconds, client, request_id)
