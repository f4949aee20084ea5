"""`python -m pyz build` makes the archive, `python -m pyz lock` the lock files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pyz.build import build
from pyz.commit import uncommitted
from pyz.failure import BuildFailed
from pyz.layout import Held
from pyz.lockfile import render
from pyz.locking import lock
from pyz.metadata import project_requirements
from pyz.targets import TARGETS

_REPOSITORY: Final = Path(__file__).parents[2]
# The archive's own packages, and the tools that make it: their versions decide its bytes, too.
_LOCKS: Final = {"requirements.lock": None, "build.lock": "build"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="pyz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build")
    building.add_argument("--output", type=Path, default=_REPOSITORY / "dist")
    building.add_argument("--cache", type=Path, default=_REPOSITORY / "build" / "wheels")
    commands.add_parser("lock")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            _build(arguments.output, arguments.cache)
        else:
            _lock()
    except BuildFailed as failure:
        sys.exit(f"pyz: {failure}")


def _build(output: Path, cache: Path) -> None:
    if uncommitted(_REPOSITORY):
        print("pyz: uncommitted changes are left out: what is built is the commit", file=sys.stderr)
    target, held = build(_REPOSITORY, output, cache)
    print(_listing(held))
    print(f"{target} ({target.stat().st_size / 1e6:.1f} MB)")


def _lock() -> None:
    for name, extra in _LOCKS.items():
        pins = lock(project_requirements(_REPOSITORY / "pyproject.toml", extra))
        (_REPOSITORY / "packaging" / name).write_text(render(pins))
        print(f"packaging/{name}: {len(pins)} packages, {sum(len(p.hashes) for p in pins)} wheels")


def _listing(held: Sequence[Held]) -> str:
    """A line for each package; one with extension modules names the ABIs it has."""
    lines = []
    for item in held:
        lines.append(f"{item.package.name:20} {item.package.version:14} {_abis(item)}".rstrip())
    return "\n".join(lines)


def _abis(item: Held) -> str:
    if not item.modules:
        return ""
    targets = item.targets()
    by_platform: dict[str, list[str]] = {}
    for target in targets:
        by_platform.setdefault(f"{target.machine}-{target.libc}", []).append(target.tag)
    named = "; ".join(f"{platform}: {' '.join(tags)}" for platform, tags in by_platform.items())
    return f"{len(targets)} of {len(TARGETS)} ABIs  {named}"


main()
