"""What happens to the gateway's tests and daemons where things are missing or break.

These run everywhere: Ceph itself is not needed to fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_s3.gateway import running_gateway

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_without_ceph_the_tests_are_skipped_by_name_or_fail_where_required(
    required: str, outcome: str
) -> None:
    name = "tests/real_s3/test_permissions.py::test_a_public_bucket_is_read_without_credentials"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", name],
        cwd=_ROOT,
        env={**os.environ, "PATH": "/nonexistent", "PARPARCHIK_REQUIRE_RGW": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout
    assert "needs ceph, " in done.stdout
    assert "apt install" in done.stdout


def test_a_start_that_fails_says_why_and_leaves_no_daemon_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for Ceph: a monitor that runs for ever, an OSD that dies at once."""
    programs = {
        **dict.fromkeys(("monmaptool", "ceph-authtool", "ceph"), "exit 0"),
        "ceph-mon": 'case "$*" in *mkfs*) exit 0;; *) exec sleep 600;; esac',
        "ceph-osd": 'case "$*" in *mkfs*) exit 0;; *) echo out of memory; exit 1;; esac',
        "radosgw": "exec sleep 600",
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TEST_A_START_THAT_FAILS", str(tmp_path))
    with pytest.raises(RuntimeError, match="out of memory"), running_gateway():
        pytest.fail("the gateway claims to have started")
    assert _processes_with(f"TEST_A_START_THAT_FAILS={tmp_path}") == set()


def _processes_with(variable: str) -> set[int]:
    """The children that carry an environment variable, by /proc."""
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.add(int(environ.parent.name))
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return found
