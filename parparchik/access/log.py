"""The record of every answered request: the counters, and one log line."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

import structlog

from parparchik.access.lines import Lines
from parparchik.access.observation import Observation, Observe
from parparchik.access.redact import redact_url
from parparchik.metrics import Counter, Traffic
from parparchik.model import Headers
from parparchik.rfc import TraceParent

CLIENT_GONE = 499
"""Counted for a client that left before an answer began, as nginx does."""


LONGEST_TEXT = 1024
"""Characters that are kept of what a client chose, for somebody who may keep thousands."""


class AccessLog:
    """Counts into `traffic`, and writes a line per request where there are `lines`. `observe` is
    called for each, where somebody wants to know more, and `pass_on` with the `traceparent` of what
    is asked of others for a request, where they want to be told."""

    def __init__(
        self,
        traffic: Traffic,
        lines: Lines | None = None,
        observe: Observe | None = None,
        pass_on: Callable[[str], object] | None = None,
    ) -> None:
        self._traffic = traffic
        self._lines = lines
        self._observe = observe
        self._pass_on = pass_on

    def begin(self, request_id: bytes, trace: TraceParent | None) -> None:
        """From now on this task is at work on that request: its log lines say so."""
        structlog.contextvars.bind_contextvars(request_id=request_id.decode(), **ids_of(trace))
        if trace is not None and self._pass_on is not None:
            self._pass_on(trace.child(token_hex(8)))

    def prepare(
        self,
        *,
        method: str,
        target: bytes,
        status: int,
        kind: str,
        location: bytes = b"",
        size_bytes: int = 0,
        headers: Headers = (),
        forwarded_for: bytes = b"",
        trace: TraceParent | None = None,
    ) -> Record:
        """What requests that are answered alike have in common. `target` and `location` lose
        their secrets here; `size_bytes` is how much of a body was sent. `headers` are the answer's
        and `forwarded_for` the request's X-Forwarded-For, both for `observe` alone. `trace` is
        what the request is part of."""
        counter = self._traffic.counter(kind, status, size_bytes)
        prepared = ""
        if self._lines is not None:
            fields: dict[str, object] = {
                "method": method,
                "path": redact_url(target),
                "status": status,
                "kind": kind,
                "size": size_bytes,
                **ids_of(trace),
            }
            if location:
                fields["location"] = redact_url(location)
            prepared = self._lines.prepare(fields)
        if self._observe is None:
            return Record(counter, self._lines, prepared, size_bytes)
        said = dict(headers)
        common = Observation(
            method,
            redact_url(target)[:LONGEST_TEXT],
            status,
            said.get(b"content-type", b"").decode("latin-1"),
            b"content-encoding" in said,
            size_bytes,
            forwarded_for[-LONGEST_TEXT:].decode("latin-1"),
        )
        return ObservedRecord(
            counter, self._lines, prepared, size_bytes, common=common, observe=self._observe
        )

    def flush(self) -> None:
        """Write what was recorded since the last call."""
        if self._lines is not None:
            self._lines.flush()


def ids_of(trace: TraceParent | None) -> dict[str, str]:
    """As they are called in log lines; `span_id` is the caller's."""
    return {} if trace is None else {"trace_id": trace.trace_id, "span_id": trace.span_id}


class Record:
    """An answer, ready to be recorded every time that it is given."""

    __slots__ = ("_count", "_lines", "_prepared", "_size_bytes")

    def __init__(
        self, counter: Counter, lines: Lines | None, prepared: str, size_bytes: int = 0
    ) -> None:
        self._count = counter.add
        self._lines = lines
        self._prepared = prepared
        self._size_bytes = size_bytes

    def add(self, seconds: float, client: str, request_id: bytes) -> None:
        """It was given once more, `seconds` after its request had arrived."""
        self._count(seconds, self._size_bytes)
        if self._lines is not None:
            self._lines.append(self._prepared, seconds, client, request_id)


class ObservedRecord(Record):
    """One that somebody else is told of too; `common` is what is the same every time."""

    __slots__ = ("_common", "_observe")

    def __init__(
        self,
        counter: Counter,
        lines: Lines | None,
        prepared: str,
        size_bytes: int,
        *,
        common: Observation,
        observe: Observe,
    ) -> None:
        super().__init__(counter, lines, prepared, size_bytes)
        self._common = common
        self._observe = observe

    def add(self, seconds: float, client: str, request_id: bytes) -> None:
        super().add(seconds, client, request_id)
        self._observe(self._common, seconds, client)
