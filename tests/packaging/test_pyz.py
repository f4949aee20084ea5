"""The archive that `make pyz` built, where PARPARCHIK_PYZ says it is: what it holds, and that it
starts on a host that has nothing but CPython."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from http.client import HTTPConnection
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyz.metadata import Package, project_requirements, reached, unmet
from pyz.targets import PYTHONS, TARGETS

from parparchik import __version__
from tests.cli.processes import DEADLINE_S

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(scope="module")
def pyz() -> Path:
    named = os.environ.get("PARPARCHIK_PYZ")
    if not named:
        pytest.skip("PARPARCHIK_PYZ does not name an archive (make pyz)")
    return Path(named).absolute()


@pytest.fixture(scope="module")
def packages(pyz: Path) -> list[Package]:
    with zipfile.ZipFile(pyz) as archive:
        return [
            Package.from_text(archive.read(name).decode())
            for name in archive.namelist()
            if re.fullmatch(r"site-packages/[^/]+\.dist-info/METADATA", name)
        ]


def python_of(version: str) -> str | None:
    """An interpreter of that version on the path that can be started."""
    path = shutil.which(f"python{version}")
    if path is None:
        return None
    tried = subprocess.run([path, "-c", ""], capture_output=True, check=False)
    return path if tried.returncode == 0 else None


def test_its_name_has_the_version(pyz: Path, packages: list[Package]) -> None:
    assert pyz.name == f"parparchik-{__version__}.pyz"
    assert ("parparchik", __version__) in {(p.name, p.version) for p in packages}


def test_it_holds_all_that_any_target_needs_and_nothing_else(packages: list[Package]) -> None:
    requirements = project_requirements(PYPROJECT)
    assert unmet(requirements, packages) == []
    assert {p.name for p in packages} == {"parparchik", *reached(requirements, packages)}


@pytest.mark.parametrize("extra", ["build", "demo", "lint", "test"])
def test_it_holds_no_tool(packages: list[Package], extra: str) -> None:
    ours = {canonicalize_name(Requirement(r).name) for r in project_requirements(PYPROJECT)}
    tools = {canonicalize_name(Requirement(r).name) for r in project_requirements(PYPROJECT, extra)}
    # Flask is under Quart, whatever the demo wants it for.
    assert not {p.name for p in packages} & (tools - ours - {"parparchik", "flask"})


def test_every_extension_module_is_there_for_every_glibc_target(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        names = {name for name in archive.namelist() if name.endswith(".so")}
    modules = {str(PurePosixPath(name).parent / Path(name).name.split(".")[0]) for name in names}
    assert "site-packages/msgspec/_core" in modules
    wanted = {module + t.suffix for module in modules for t in TARGETS if t.required}
    assert wanted <= names


@pytest.mark.parametrize("version", PYTHONS)
def test_it_serves_on_a_host_that_has_nothing_but_python(
    pyz: Path, tmp_path: Path, version: str
) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"python{version} is not here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "SHIV_ROOT": str(tmp_path / "root"),
        "HOME": "/dev/null",
        "PARPARCHIK_BUCKETS": "pictures::public",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": str(port),
        "S3_ENDPOINT": "127.0.0.1:9",  # nobody is there: it lives all the same
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    process = subprocess.Popen(
        [python, pyz, "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert json.loads(_health(port, process))["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_load_tests_are_inside(pyz: Path, tmp_path: Path) -> None:
    listed = subprocess.run(
        [sys.executable, pyz, "bench", "--list"],
        env={"SHIV_ROOT": str(tmp_path / "root"), "HOME": "/dev/null"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "redirect-hot" in listed


def _health(port: int, process: subprocess.Popen[bytes]) -> bytes:
    """The body of /healthcheck, as soon as somebody listens."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().read()
        except ConnectionRefusedError:
            assert process.poll() is None, process.stdout and process.stdout.read().decode()
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.05)
        finally:
            connection.close()
