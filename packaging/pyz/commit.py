"""The commit that is built: its tree and its time."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

from pyz.failure import BuildFailed


def commit_time_s(repository: Path) -> int:
    """SOURCE_DATE_EPOCH where the caller sets it, else the time of the commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _git(repository, "log", "-1", "--format=%ct"))


def export(repository: Path, into: Path) -> None:
    """The committed tree, without what lies uncommitted or ignored in the directory."""
    tree = _git(repository, "archive", "--format=zip", "HEAD")
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        archive.extractall(into)


def uncommitted(repository: Path) -> bool:
    """Whether the directory holds changes that the archive will not have."""
    return bool(_git(repository, "status", "--porcelain", "--untracked-files=normal").strip())


def _git(repository: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise BuildFailed("git is needed to build what is committed") from None
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip()
        raise BuildFailed(f"git {arguments[0]}: {message}: build from a clone") from None
