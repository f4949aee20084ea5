"""Processes of this program: how to start them, wherever it was started from, and on what CPUs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PIN = "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(',')))"
_EXECUTE = "; os.execvp(sys.argv[2], sys.argv[2:])"


def module_argv(module: str, *arguments: str) -> list[str]:
    """`python -m module`; needs `environment()`."""
    return [sys.executable, "-m", module, *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with the folder that `bench` and `parparchik` are imported from
    in front: the source tree, or what an archive was unpacked to."""
    here = str(Path(__file__).parent.parent)
    rest = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}:{rest}" if rest else here, **(extra or {})}


def pinned(argv: Sequence[str], processors: Sequence[int]) -> list[str]:
    """A command that runs `argv` on these CPUs only, from its first thread on."""
    if not processors:
        return list(argv)
    return [sys.executable, "-c", _PIN + _EXECUTE, ",".join(map(str, processors)), *argv]
