"""What starts a worker is what started the program."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SHOW = "from parparchik.cli.worker import worker_command\nprint(*worker_command(), sep='\\n')\n"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(params=["script", "archive", "module"])
def started_by(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Arguments of Python that lead to the program."""
    script = tmp_path / "shown.py"
    script.write_text(SHOW)
    if request.param == "script":
        return [str(script)]
    if request.param == "module":
        return ["-m", "shown"]
    with zipfile.ZipFile(tmp_path / "shown.pyz", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    return [str(tmp_path / "shown.pyz")]


@pytest.mark.parametrize("options", [[], ["-X", "utf8", "-W", "error"]])
def test_it_is_this_program(started_by: list[str], options: list[str], tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, *options, *started_by, "serve", "--workers", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == [sys.executable, *options, *started_by, "worker"]
