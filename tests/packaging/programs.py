"""Programs of other projects that check our files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"


def find(name: str, *, required_by: str = "PARPARCHIK_REQUIRE_PROMETHEUS") -> str:
    """The program's path. Without it the test is skipped, or fails where `required_by` is 1."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None and os.environ.get(required_by) == "1":
        pytest.fail(f"{name} is not installed, and {required_by}=1")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str | Path) -> str:
    """What it printed; fails the test with that when it does not end well."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
