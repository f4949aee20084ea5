"""The trace that requests to S3 belong to, where whoever they are for wants that told to S3.

It goes with the task: what a task begins belongs to the same trace. The header is not signed, as
none is that a proxy between may alter.
"""

from __future__ import annotations

from contextvars import ContextVar

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")

current_traceparent = _traceparent.get
"""'' where there is none to be told of."""


def pass_on_traceparent(traceparent: str) -> None:
    """Requests that this task makes from now on, and tasks that it starts, carry it."""
    _traceparent.set(traceparent)


def traced(request: bytes) -> bytes:
    """A request without a body, with what is to be told."""
    traceparent = current_traceparent()
    if not traceparent:
        return request
    return b"%btraceparent: %b\r\n\r\n" % (request.removesuffix(b"\r\n"), traceparent.encode())
