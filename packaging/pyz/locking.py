"""Makes a lock file: resolves version ranges once, then takes the hash of every wheel of every
target."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from pyz.failure import BuildFailed
from pyz.lockfile import Pin
from pyz.metadata import Package, unmet
from pyz.targets import TARGETS
from pyz.wheels import download, download_all, is_pure, resolve, sha256


def lock(requirements: Sequence[str]) -> Sequence[Pin]:
    """The newest versions that the oldest Python takes, complete for every target."""
    packages = _resolve_for_all(requirements)
    lines = [f"{package.name}=={package.version}" for package in packages]
    with tempfile.TemporaryDirectory() as scratch:
        first = download(lines, TARGETS[0], Path(scratch, "first"))
        native = {_distribution(wheel) for wheel in first if not is_pure(wheel)}
        rest = download_all(
            [line for line in lines if line.partition("==")[0] in native], Path(scratch)
        )
        return _pins(packages, [*first, *rest])


def _resolve_for_all(requirements: Sequence[str]) -> Sequence[Package]:
    """Resolves again with what only other targets need until nothing is missing."""
    wanted = list(requirements)
    while True:
        packages = [
            Package.of(found["name"], found["version"], found.get("requires_dist", ()))
            for found in resolve(wanted, TARGETS[0])
        ]
        missing = unmet(requirements, packages)
        if not missing:
            return packages
        if set(missing) <= set(wanted):
            raise BuildFailed(f"cannot be met on every Python: {', '.join(missing)}")
        wanted += missing


def _pins(packages: Iterable[Package], wheels: Iterable[Path]) -> Sequence[Pin]:
    hashes: dict[str, set[str]] = defaultdict(set)
    for wheel in wheels:
        hashes[_distribution(wheel)].add(sha256(wheel))
    return [Pin(p.name, p.version, tuple(sorted(hashes[p.name]))) for p in packages]


def _distribution(wheel: Path) -> str:
    name, *_ = parse_wheel_filename(wheel.name)
    return str(canonicalize_name(name))
