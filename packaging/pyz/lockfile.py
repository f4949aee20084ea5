"""The lock file: pip's requirements format, every wheel of every target by its SHA-256.

A package with one hash is pure Python, one wheel for all; a package with more has a wheel for
each ABI. The file names no index: whoever builds uses the pip settings of the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pyz.failure import BuildFailed

_HEADER: Final = """\
# Made by `make lock` from the version ranges in pyproject.toml; not edited by hand.
# Every wheel for CPython 3.11 to 3.14, x86-64 and arm64, glibc and musl.
"""
_PIN: Final = re.compile(r"([a-z0-9-]+)==([^\s\\]+)((?: --hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """`name` is normalised (PEP 503); `hashes` are hex digests of wheels, sorted."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def native(self) -> bool:
        return len(self.hashes) > 1

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    def line(self) -> str:
        return " \\\n    ".join([self.requirement, *(f"--hash=sha256:{h}" for h in self.hashes)])


def render(pins: Iterable[Pin]) -> str:
    ordered = sorted(pins, key=lambda pin: pin.name)
    return _HEADER + "".join(pin.line() + "\n" for pin in ordered)


def parse(text: str) -> Sequence[Pin]:
    """Reads what `render` writes; anything else in it raises BuildFailed."""
    joined = re.sub(r" *\\\n *", " ", text)
    pins = []
    for line in joined.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise BuildFailed(f"the lock file has a line that is no pin: {line[:60]!r}: make lock")
        name, version, hashes = match.groups()
        pins.append(Pin(name, version, tuple(sorted(re.findall(r"[0-9a-f]{64}", hashes)))))
    return pins
