"""Builds the archive of the commit that is checked out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pyz.archive import make_archive
from pyz.commit import commit_time_s, export
from pyz.failure import BuildFailed
from pyz.layout import Held, check_extensions, lay_out
from pyz.lockfile import parse
from pyz.metadata import project_requirements, reached, unmet
from pyz.wheels import fetch

PROJECT: Final = "parparchik"
ENTRY_POINT: Final = "parparchik.cli:main"


def build(repository: Path, output: Path, cache: Path) -> tuple[Path, Sequence[Held]]:
    """Writes `output`/parparchik-<version>.pyz; returns its path and what it holds."""
    time_s = commit_time_s(repository)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        export(repository, tree)
        pins = parse((tree / "packaging" / "requirements.lock").read_text())
        wheels = [*fetch(pins, cache), _own_wheel(tree, Path(scratch, "own"), time_s)]
        site_packages = Path(scratch, "site-packages")
        held = lay_out(wheels, site_packages)
        check_extensions(held)
        _check_packages(held, project_requirements(tree / "pyproject.toml"))
        version = next(item.package.version for item in held if item.package.name == PROJECT)
        target = output / f"{PROJECT}-{version}.pyz"
        launcher = tree / "packaging" / "pyz" / "launcher"
        make_archive(site_packages, launcher, ENTRY_POINT, time_s, target)
        return target, held


def _own_wheel(tree: Path, into: Path, time_s: int) -> Path:
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={into}"],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(time_s)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise BuildFailed(f"hatchling cannot build {PROJECT}: {result.stderr[-2000:]}")
    return next(into.glob("*.whl"))


def _check_packages(held: Sequence[Held], requirements: Sequence[str]) -> None:
    """All that the project needs on any target, and nothing else: no test, demo or lint tool."""
    packages = [item.package for item in held]
    missing = unmet(requirements, packages)
    if missing:
        raise BuildFailed(f"the lock file is stale, it lacks {', '.join(missing)}: make lock")
    needed = reached(requirements, packages) | {PROJECT}
    foreign = sorted({package.name for package in packages} - needed)
    if foreign:
        raise BuildFailed(f"nothing needs {', '.join(foreign)}: make lock")
