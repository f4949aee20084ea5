"""Byte sizes, read and written: `300MiB`, `10GB`, a plain number of bytes.

The same rules as in `values`: a ValueError says what was expected and never repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

KIB, MIB, GIB, TIB, PIB = (1 << 10 * power for power in range(1, 6))

_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*([a-z]{1,3})?")
_UNITS: Mapping[str, int] = MappingProxyType(
    {"b": 1}
    | {"kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB, "pib": PIB}
    | {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15}
)


def byte_size(low: int, high: int, *, multiple: int = 1, plain: int = 1) -> Callable[[object], int]:
    """A size within bounds, the bounds included; `multiple` must divide it. A number without a
    unit counts `plain` bytes each."""
    bounds = f"a size from {size_text(low)} to {size_text(high)}"
    even = f", a multiple of {size_text(multiple)}" if multiple > 1 else ""
    bare = "" if plain == 1 else f" (a plain number is in {size_text(plain)[1:]})"

    def parse(raw: object) -> int:
        size = _size(raw, plain)
        if size is None or not low <= size <= high or size % multiple:
            raise ValueError(f"expected {bounds}{even}, such as 300MiB or 10GB{bare}")
        return size

    return parse


def _size(raw: object, plain: int) -> int | None:
    """Whole bytes, rounded down; None where `raw` is no size."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw * plain
    match = _SIZE.fullmatch(raw.strip().lower()) if isinstance(raw, str) else None
    unit = plain if match is None or match[2] is None else _UNITS.get(match[2])
    if match is None or unit is None:
        return None
    return int(Fraction(match[1]) * unit)


def size_text(size_bytes: int) -> str:
    """The shortest exact spelling that `byte_size` reads back."""
    for name, unit in (("PiB", PIB), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)
