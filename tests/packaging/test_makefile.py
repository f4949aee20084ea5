"""The Makefile, as somebody meets it who has just cloned the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.programs import find

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = find("make", required_by="")
    return subprocess.run(
        [program, "--no-print-directory", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_what_make_alone_does_and_lists_every_target(clone: Path) -> None:
    listed = make(clone).stdout
    phony = set(re.findall(r"^\.PHONY: (\w+)$", MAKEFILE.read_text(), re.MULTILINE))
    assert set(re.findall(r"^  make (\w+) +\S", listed, re.MULTILINE)) == phony
    assert {"install", "run", "test", "check", "format", "pyz", "help"} <= phony
    assert make(clone, "help").stdout == listed


@pytest.mark.parametrize(
    ("lines", "mend"),
    [
        ("exit 1", "is not Python 3.11 or newer"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
    ids=["old", "without-venv"],
)
def test_a_python_that_will_not_do_is_told_in_one_line(clone: Path, lines: str, mend: str) -> None:
    python = clone / "python"
    python.write_text(f"#!/bin/sh\n{lines}\n")
    python.chmod(0o755)
    result = make(clone, "install", f"PYTHON={python}")
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if "***" not in line]
    assert len(said) == 1
    assert mend in said[0]
    assert not (clone / ".venv").exists()


def test_checking_runs_no_tool_in_a_mode_that_changes_files(clone: Path) -> None:
    commands = make(clone, "--dry-run", "check").stdout
    assert "--fix" not in commands
    assert "ruff format --check" in commands
    assert "ruff check --fix" in make(clone, "--dry-run", "format").stdout
