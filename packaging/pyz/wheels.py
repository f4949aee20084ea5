"""Wheels, by pip: the ones that the lock file pins, or whichever fit (to make a lock file)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyz.failure import BuildFailed
from pyz.lockfile import Pin
from pyz.targets import TARGETS, Target


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_pure(wheel: Path) -> bool:
    """PEP 427: the last two tags of the file name are ABI and platform."""
    return wheel.name.endswith("-none-any.whl")


def resolve(requirements: Sequence[str], target: Target) -> Sequence[dict[str, Any]]:
    """What pip would install: the core metadata (PEP 566 as JSON) of every package."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        _pip(
            "install",
            "--dry-run",
            "--ignore-installed",
            f"--target={scratch}",
            f"--report={report}",
            *target.pip_options(),
            *requirements,
        )
        return [found["metadata"] for found in json.loads(report.read_text())["install"]]


def download(lines: Sequence[str], target: Target, into: Path) -> Sequence[Path]:
    """One wheel for each requirement, the best for `target`, with the hash that the line asks for.

    A package that has none raises BuildFailed, or, where the target is not required, is left out.
    """
    into.mkdir(parents=True, exist_ok=True)
    listing = into / "requirements.txt"
    listing.write_text("\n".join(lines))
    try:
        _pip("download", "--no-deps", f"--dest={into}", f"-r{listing}", *target.pip_options())
    except BuildFailed:
        if target.required:
            raise
        if len(lines) > 1:
            for line in lines:
                download([line], target, into)
    return sorted(into.glob("*.whl"))


def download_all(lines: Sequence[str], into: Path) -> Sequence[Path]:
    """The wheels of packages with extension modules, for every target."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = pool.map(lambda target: download(lines, target, into / str(target)), TARGETS)
        return [wheel for wheels in found for wheel in wheels]


def fetch(pins: Sequence[Pin], cache: Path) -> Sequence[Path]:
    """Exactly the wheels that are pinned, sorted by name; raises BuildFailed when one is missing.

    `cache` keeps them: a second build of the same lock asks no index.
    """
    wanted = {digest for pin in pins for digest in pin.hashes}
    held = _held(wanted, cache)
    if len(held) < len(wanted):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            pure = [pin.line() for pin in pins if not pin.native]
            native = [pin.line() for pin in pins if pin.native]
            found = [
                *download(pure, TARGETS[0], Path(scratch, "pure")),
                *download_all(native, Path(scratch)),
            ]
            for wheel in found:
                wheel.replace(cache / wheel.name)
        held = _held(wanted, cache)
    missing = wanted - held.keys()
    if missing:
        names = {pin.requirement for pin in pins if missing.intersection(pin.hashes)}
        raise BuildFailed(
            f"{len(missing)} of {len(wanted)} pinned wheels could not be had, of "
            f"{', '.join(sorted(names))}: the index lacks them, or the lock is stale (make lock)"
        )
    return sorted(held.values())


def _held(wanted: set[str], cache: Path) -> dict[str, Path]:
    files = ((sha256(path), path) for path in cache.glob("*.whl"))
    return {digest: path for digest, path in files if digest in wanted}


def _pip(command: str, *arguments: str) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-input")
    result = subprocess.run(
        [sys.executable, "-m", "pip", command, *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise BuildFailed(f"pip {command} failed: {' '.join(errors) or result.stderr[-500:]}")
