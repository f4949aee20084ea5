"""Lays many wheels out in one site-packages, and says what the result holds.

Wheels of one version for different ABIs share all their files but the extension modules, whose
names carry the ABI. Where two wheels bring different bytes for one name, nobody could say which
is right: the build fails.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pyz.failure import BuildFailed
from pyz.metadata import Package
from pyz.targets import TARGETS, Target

# What describes one wheel and its installation, not the package: it differs from ABI to ABI.
_LEFT_OUT: Final = re.compile(
    r"[^/]+\.dist-info/(RECORD|WHEEL|INSTALLER|REQUESTED|direct_url\.json|RECORD\.(jws|p7s))"
)
_DATA: Final = re.compile(r"[^/]+\.data/(purelib|platlib)/(.+)")
_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")


@dataclass(frozen=True, slots=True)
class Held:
    """A package in the archive, with its extension modules: (module path, file suffix)."""

    package: Package
    extensions: frozenset[tuple[str, str]]

    @property
    def modules(self) -> frozenset[str]:
        return frozenset(module for module, _ in self.extensions)

    def targets(self) -> Sequence[Target]:
        """Those for which every extension module is here."""
        return [
            target
            for target in TARGETS
            if all((module, target.suffix) in self.extensions for module in self.modules)
        ]


def lay_out(wheels: Iterable[Path], site_packages: Path) -> Sequence[Held]:
    """Unpacks the wheels; raises BuildFailed when two of them disagree or one holds what no
    import can reach (scripts, headers)."""
    packages: dict[str, Package] = {}
    extensions: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for wheel in sorted(wheels):
        package = None
        found = set()
        for name, data in _members(wheel):
            _place(site_packages / name, data, wheel)
            if _METADATA.fullmatch(name):
                package = Package.from_text(data.decode())
            if ".so" in PurePosixPath(name).suffixes:
                module, dot, suffix = name.partition(".")
                found.add((module, dot + suffix))
        if package is None:
            raise BuildFailed(f"{wheel.name} has no METADATA")
        packages[package.name] = package
        extensions[package.name] |= found
    return [Held(packages[name], frozenset(extensions[name])) for name in sorted(packages)]


def check_extensions(held: Iterable[Held]) -> None:
    """Raises BuildFailed unless every extension module is there for every required target and
    for no unknown one. A pure fallback in the package does not excuse: it would be slow unseen."""
    known = {target.suffix for target in TARGETS}
    for item in held:
        unknown = sorted(m + s for m, s in item.extensions if s not in known)
        if unknown:
            raise BuildFailed(f"{item.package.name}: {unknown[0]} belongs to no known ABI")
        for target in TARGETS:
            lacking = [m for m in sorted(item.modules) if (m, target.suffix) not in item.extensions]
            if lacking and (target.required or len(lacking) < len(item.modules)):
                raise BuildFailed(f"{item.package.name} lacks {lacking[0]}{target.suffix}")


def _members(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """(path below site-packages, bytes) of every file that goes there."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = info.filename
            if info.is_dir() or _LEFT_OUT.fullmatch(name) or name.endswith(".pyc"):
                continue
            data = _DATA.fullmatch(name)
            if data is not None:
                name = data[2]
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or path.parts[0].endswith(".data"):
                raise BuildFailed(f"{wheel.name} holds {name}, which has no place in the archive")
            if path.suffix == ".pth":
                raise BuildFailed(f"{wheel.name} holds {name}, which would run at every start")
            yield name, archive.read(info)


def _place(path: Path, data: bytes, wheel: Path) -> None:
    if path.exists():
        if path.read_bytes() != data:
            raise BuildFailed(f"{wheel.name} brings other bytes for {path.name} than another wheel")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)
