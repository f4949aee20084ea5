"""The interpreters that the archive must run on, and how pip is asked for their wheels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Libc = Literal["gnu", "musl"]

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
MACHINES: Final = ("x86_64", "aarch64")

# PEP 600 and PEP 656 tags, the oldest first: of two wheels, pip takes the one that runs on more
# hosts. glibc 2.28 is Debian 10 and RHEL 8; musl 1.2 is Alpine 3.13.
_PLATFORMS: Final[dict[Libc, tuple[str, ...]]] = {
    "gnu": ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, 29))),
    "musl": ("musllinux_1_0", "musllinux_1_1", "musllinux_1_2"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One CPython (`python` is "3.11") on one machine with one C library."""

    python: str
    machine: str
    libc: Libc

    @property
    def tag(self) -> str:
        """PEP 425 Python tag, which is also the ABI tag: "cp311"."""
        return "cp" + self.python.replace(".", "")

    @property
    def suffix(self) -> str:
        """What this CPython's extension modules end in (PEP 3149), its first choice on import."""
        digits = self.python.replace(".", "")
        return f".cpython-{digits}-{self.machine}-linux-{self.libc}.so"

    @property
    def required(self) -> bool:
        """Whether a package with extension modules must have a wheel for it. Not every project
        builds for musl; all of ours must build for glibc."""
        return self.libc == "gnu"

    def __str__(self) -> str:
        return f"{self.tag}-{self.machine}-{self.libc}"

    def pip_options(self) -> tuple[str, ...]:
        """Makes `pip download` choose as this interpreter's own pip would."""
        platforms = (f"--platform={name}_{self.machine}" for name in _PLATFORMS[self.libc])
        return (
            f"--python-version={self.python}",
            "--implementation=cp",
            f"--abi={self.tag}",
            "--only-binary=:all:",
            *platforms,
        )


TARGETS: Final = tuple(
    Target(python, machine, libc)
    for libc in _PLATFORMS
    for machine in MACHINES
    for python in PYTHONS
)
