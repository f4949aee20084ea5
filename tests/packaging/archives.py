"""Small archives with the real launcher and the real bootstrap, and processes that start them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyz.archive import make_archive

LAUNCHER = Path(__file__).parents[2] / "packaging" / "pyz" / "launcher"
# The interpreter itself, not the virtual environment's: the host has its own site-packages.
PYTHON: str = getattr(sys, "_base_executable", sys.executable)

# What a started archive tells of itself; it waits for its standard input to end where it is told.
_APP = """
import json, sys
def main():
    import dependency
    told = {"path": sys.path, "dependency": dependency.__file__, "arguments": sys.argv[1:]}
    try:
        import host_only
        told["host_only"] = host_only.__file__
    except ImportError:
        pass
    print(json.dumps(told), flush=True)
    if sys.argv[1:] == ["wait"]:
        sys.stdin.read()
        import imported_late
"""


def make_stub(
    directory: Path, version: str = "1", *, files: int = 0, extension: str | None = None
) -> Path:
    """An archive of an application that prints what it sees; `files` makes unpacking take long,
    `extension` adds an extension module with that suffix."""
    site_packages = directory / f"site-packages-{version}"
    site_packages.mkdir(parents=True)
    (site_packages / "app.py").write_text(_APP)
    (site_packages / "dependency.py").write_text(f"version = {version!r}\n")
    (site_packages / "imported_late.py").write_text("")
    for number in range(files):
        (site_packages / f"filler_{number}.py").write_text(f"value = {number}\n" * 50)
    if extension is not None:
        (site_packages / f"native{extension}").write_bytes(b"\x7fELF")
    target = directory / f"parparchik-{version}.pyz"
    make_archive(site_packages, LAUNCHER, "app:main", 1_700_000_000, target)
    return target


def command(archive: Path, *arguments: str, python: str = PYTHON) -> list[str]:
    return [python, str(archive), *arguments]


def start(
    archive: Path, environment: Mapping[str, str], *arguments: str, **options: Any
) -> subprocess.Popen[str]:
    """Starts an archive with nothing but the given environment."""
    return subprocess.Popen(
        command(archive, *arguments),
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What the application of `make_stub` said."""

    path: list[str]
    dependency: Path
    arguments: list[str]
    host_only: str | None = None


def finish(process: subprocess.Popen[str]) -> Told:
    """Its words; fails the test when it did not end well or wrote to standard error."""
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return _told(output)


def run(archive: Path, environment: Mapping[str, str], *arguments: str) -> Told:
    return finish(start(archive, environment, *arguments))


def refuse(archive: Path, environment: Mapping[str, str]) -> str:
    """The one line that it ends with when it cannot start."""
    process = start(archive, environment)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("parparchik: ")
    assert errors.count("\n") == 1
    return errors


def _told(line: str) -> Told:
    said = json.loads(line)
    return Told(said["path"], Path(said["dependency"]), said["arguments"], said.get("host_only"))
