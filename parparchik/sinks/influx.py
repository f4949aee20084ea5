"""InfluxDB line protocol. Pure.

Reference: InfluxDB 2.7 documentation, "Line protocol". What tells few requests apart is a tag and
indexed; the resource and the address, of which there is no end, are fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from parparchik.sinks.measurement import Measurement, Value

_FIELDS = {"resource", "ipaddress"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_IN_A_NAME = str.maketrans({",": r"\,", " ": r"\ "})
_IN_A_TAG = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\="})
_IN_A_STRING = str.maketrans({'"': r"\"", "\\": r"\\"})


def lines(measurements: Iterable[Measurement], name: str) -> bytes:
    """A line each. What a line cannot hold (control characters) is left out."""
    return "".join([_line(each, name) for each in measurements]).encode("utf-8", "replace")


def _line(measurement: Measurement, name: str) -> str:
    labels = list(measurement.labels())
    tags = "".join(f",{key}={_tag(value)}" for key, value in labels if key not in _FIELDS)
    fields = [f"{key}={_string(value)}" for key, value in labels if key in _FIELDS]
    fields += [f"{key}={_figure(value)}" for key, value in measurement.figures()]
    measured = _clean(name).translate(_IN_A_NAME)
    return f"{measured}{tags} {','.join(fields)} {measurement.timestamp_ns}\n"


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)


def _tag(value: str) -> str:
    """A backslash at the end would escape the comma that follows."""
    return _clean(value).replace("\\", "/").translate(_IN_A_TAG)


def _string(value: str) -> str:
    return f'"{_clean(value).translate(_IN_A_STRING)}"'


def _figure(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}i" if isinstance(value, int) else repr(value)
