"""Akumuli's write protocol: RESP's encoding, one message a request. Pure.

Reference: Akumuli documentation, "Writing data". A series is a name and its tags; Akumuli stores
numbers only, so what tells requests apart are tags. Figures that were measured together are one
message with several names (`a|b|c`), a timestamp and an array of as many values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from parparchik.sinks.measurement import Measurement, Value

MAX_STRING_BYTES = 1000  # the protocol's limit is a kilobyte

_NOT_IN_A_TAG = re.compile(r"[\s=|\x00-\x1f\x7f]+")


def messages(measurements: Iterable[Measurement], name: str) -> bytes:
    return b"".join([_message(each, name) for each in measurements])


def _message(measurement: Measurement, name: str) -> bytes:
    figures = list(measurement.figures())
    series = "|".join(f"{_tag(name)}.{key}" for key, _ in figures).encode()
    room = MAX_STRING_BYTES - len(series)
    for key, value in measurement.labels():
        tag = f" {key}={_tag(value)}".encode("utf-8", "replace")
        # A path may have any length; a series that is too long ends the connection.
        if len(tag) > room:
            continue
        series += tag
        room -= len(tag)
    values = b"".join(_value(value) for _, value in figures)
    return b"+%b\r\n:%d\r\n*%d\r\n%b" % (series, measurement.timestamp_ns, len(figures), values)


def _tag(value: str) -> str:
    return _NOT_IN_A_TAG.sub("_", value)


def _value(value: Value) -> bytes:
    if isinstance(value, float):
        return b"+%b\r\n" % repr(value).encode()
    return b":%d\r\n" % int(value)
