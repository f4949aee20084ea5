"""Lines of the access log, in either format.

A line per request is the dearest thing that a server does of its own accord. So the part that
depends on the answer alone is rendered once, and lines are written by the batch. A line says the
same as any other of the log, in the same format.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol, TextIO

import msgspec
import structlog

_EVENT = "request"
LARGEST_BATCH = 256

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(dict[str, object]).decode

Redact = Callable[[str], str]


class Lines(Protocol):
    def prepare(self, fields: Mapping[str, object]) -> str:
        """The part of a line that `fields` make."""
        ...

    def append(self, prepared: str, seconds: float, client: str, request_id: bytes) -> None: ...

    def flush(self) -> None:
        """Write the lines appended since the last call."""
        ...


class JSONLines:
    """For machines: a JSON object a line. `redact` blanks configured secrets in what came from a
    client. Whatever is bound to the log's context when this is made (a worker's number) stands in
    every line."""

    def __init__(
        self, stream: TextIO, redact: Redact, *, now: Callable[[], float] = time.time
    ) -> None:
        self._stream = stream
        self._redact = redact
        self._now = now
        self._common = structlog.contextvars.get_contextvars()
        self._second = -1
        self._second_text = ""
        self._lines: list[str] = []

    def prepare(self, fields: Mapping[str, object]) -> str:
        return self._redact(_to_json({**fields, **self._common}).decode())[1:-1]

    def append(self, prepared: str, seconds: float, client: str, request_id: bytes) -> None:
        second, microsecond = divmod(round(self._now() * 1e6), 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        label = _to_json(self._redact(request_id.decode("ascii"))).decode()
        self._lines.append(
            f'{{"timestamp":"{self._second_text}.{microsecond:06d}Z",'
            f'"level":"info","event":"{_EVENT}","request_id":{label},{prepared},'
            f'"duration_ms":{seconds * 1000:.3f},"client":"{client}"}}\n'
        )
        if len(self._lines) >= LARGEST_BATCH:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("".join(lines))
            self._stream.flush()


class ConsoleLines:
    """For people: through structlog, as everything else that they read; nothing is held back."""

    def __init__(self) -> None:
        self._log = structlog.get_logger(__name__)

    def prepare(self, fields: Mapping[str, object]) -> str:
        return _to_json(fields).decode()

    def append(self, prepared: str, seconds: float, client: str, request_id: bytes) -> None:
        with structlog.contextvars.bound_contextvars(request_id=request_id.decode("ascii")):
            self._log.info(
                _EVENT, **_from_json(prepared), duration_ms=round(seconds * 1000, 3), client=client
            )

    def flush(self) -> None:
        """Nothing to do: lines are written at once."""
