"""W3C Trace Context: which trace a request belongs to (https://www.w3.org/TR/trace-context/).

Only `traceparent`: `tracestate` is for those who take part in a trace by a vendor's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_TRACEPARENT = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]*)?"
)
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


class TraceParent(NamedTuple):
    """`trace_id` has 32 hexadecimal digits, `span_id`, the caller's own part of the trace, 16.
    `sampled` is whether the caller may have recorded it."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def child(self, span_id: str) -> str:
        """The `traceparent` of what is asked on behalf of the request, as part `span_id`."""
        return f"00-{self.trace_id}-{span_id}-{self.sampled:02x}"


def trace_parent(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The trace of a request with these headers (lower-case names); None where there is no
    `traceparent`, more than one, or one that is not valid (section 3.2.2). Of versions to come
    what version 00 has is read."""
    values = [value for name, value in headers if name == b"traceparent"]
    if len(values) != 1:
        return None
    parsed = _TRACEPARENT.fullmatch(values[0])
    if parsed is None or parsed["version"] == b"ff":
        return None
    if parsed["more"] is not None and parsed["version"] == b"00":
        return None
    if parsed["trace"] == _NO_TRACE or parsed["span"] == _NO_SPAN:
        return None
    sampled = bool(int(parsed["flags"], 16) & 1)
    return TraceParent(parsed["trace"].decode(), parsed["span"].decode(), sampled)
