"""What an operator sees when an archive starts: on a clean host, a hostile one, and a full one."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.archives import PYTHON, command, finish, make_stub, refuse, run, start

NOBODY = 65534


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stub(tmp_path_factory.mktemp("stub"))


def unpacked(root: Path) -> list[Path]:
    """The unpacked versions below a root; what is hidden are locks."""
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))


def test_it_unpacks_once_into_the_home(stub: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    first = run(stub, home, "serve", "--port", "0")
    (version,) = unpacked(tmp_path / ".shiv")
    assert first.dependency == version / "site-packages" / "dependency.py"
    assert first.arguments == ["serve", "--port", "0"]
    before = first.dependency.stat()
    assert run(stub, home).dependency.stat() == before


def test_it_unpacks_where_the_operator_says(stub: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache" / "parparchik"
    told = run(stub, {"HOME": str(tmp_path / "home"), "SHIV_ROOT": str(root)})
    assert told.dependency.is_relative_to(root)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("home", ["/proc/self", "/dev/null"])
def test_without_a_usable_home_it_unpacks_into_a_private_temporary_directory(
    stub: Path, tmp_path: Path, home: str
) -> None:
    told = run(stub, {"HOME": home, "TMPDIR": str(tmp_path)})
    (private,) = tmp_path.iterdir()
    assert told.dependency.is_relative_to(private)
    assert private.stat().st_mode & 0o777 == 0o700


def test_it_runs_no_code_that_another_user_may_have_put_into_the_temporary_directory(
    stub: Path, tmp_path: Path
) -> None:
    private = tmp_path / f"parparchik-{os.geteuid()}"
    private.mkdir()
    private.chmod(0o777)
    line = refuse(stub, {"HOME": "/dev/null", "TMPDIR": str(tmp_path)})
    assert str(private) in line
    assert "not a directory of this user alone" in line
    assert not any(private.iterdir())


def test_it_follows_no_link_in_the_temporary_directory(stub: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / f"parparchik-{os.geteuid()}").symlink_to(elsewhere)
    refuse(stub, {"HOME": "/dev/null", "TMPDIR": str(tmp_path)})
    assert not any(elsewhere.iterdir())


def test_where_nothing_can_be_written_one_line_says_what_to_set(stub: Path) -> None:
    line = refuse(stub, {"HOME": "/dev/null", "TMPDIR": "/dev/null"})
    assert "set SHIV_ROOT" in line


def test_a_root_that_cannot_be_written_is_not_passed_over(stub: Path, tmp_path: Path) -> None:
    line = refuse(stub, {"HOME": str(tmp_path), "SHIV_ROOT": "/dev/null/root"})
    assert "/dev/null/root: Not a directory" in line
    assert not any(tmp_path.iterdir())


def test_many_that_start_at_once_unpack_once(tmp_path: Path) -> None:
    archive = make_stub(tmp_path / "build", files=300)
    environment = {"SHIV_ROOT": str(tmp_path / "root")}
    told = [finish(p) for p in [start(archive, environment) for _ in range(6)]]
    assert len({one.dependency for one in told}) == 1
    assert len(unpacked(tmp_path / "root")) == 1


def test_one_killed_while_it_unpacks_harms_no_later_start(tmp_path: Path) -> None:
    archive = make_stub(tmp_path / "build", files=1500)
    root = tmp_path / "root"
    environment = {"SHIV_ROOT": str(root)}
    with start(archive, environment) as first:
        while not list(root.glob("*.tmp/site-packages/filler_*")):
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGKILL)
    (half,) = unpacked(root)
    assert half.suffix == ".tmp"
    assert len(list(half.rglob("filler_*.py"))) < 1500
    told = run(archive, environment)
    assert len(list(told.dependency.parent.glob("filler_*.py"))) == 1500
    assert unpacked(root) == [told.dependency.parents[1]]


@pytest.mark.parametrize("harm", [os.unlink, lambda path: os.truncate(path, 0)])
def test_a_file_that_was_lost_comes_back(stub: Path, tmp_path: Path, harm: object) -> None:
    assert callable(harm)
    environment = {"SHIV_ROOT": str(tmp_path)}
    lost = run(stub, environment).dependency
    whole = lost.read_bytes()
    harm(lost)
    assert run(stub, environment).dependency == lost
    assert lost.read_bytes() == whole


def test_packages_of_the_host_are_neither_preferred_nor_seen(stub: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    for name in ("dependency", "host_only", "app"):
        (host / f"{name}.py").write_text("raise SystemExit('the host was asked')")
    told = run(stub, {"SHIV_ROOT": str(tmp_path / "root"), "PYTHONPATH": str(host)})
    assert told.host_only is None
    assert str(host) not in told.path
    leaked = [path for path in told.path if path.endswith(("site-packages", "dist-packages"))]
    assert leaked == [str(told.dependency.parent)]


def test_packages_of_the_user_are_not_seen(stub: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PYTHONUSERBASE": str(tmp_path / "base")}
    script = [PYTHON, "-c", "import site; print(site.getusersitepackages())"]
    packages = Path(subprocess.check_output(script, env=environment, text=True).strip())
    assert packages != Path(site.getusersitepackages())
    packages.mkdir(parents=True)
    (packages / "host_only.py").write_text("")
    assert run(stub, environment).host_only is None


def test_earlier_versions_go_but_two_and_those_that_run(tmp_path: Path) -> None:
    environment = {"SHIV_ROOT": str(tmp_path / "root")}
    archives = [make_stub(tmp_path / "build", str(number)) for number in range(6)]
    with start(archives[0], environment, "wait") as running:
        assert running.stdout is not None
        running.stdout.readline()
        for number, archive in enumerate(archives[1:]):
            told = run(archive, environment)
            (mark,) = told.dependency.parents[2].glob(f".{archive.name}*in-use*")
            os.utime(mark, (number, number))  # the order of use, whatever the clock's grain
        names = [path.name.partition("_")[0] for path in unpacked(tmp_path / "root")]
        assert names == [f"parparchik-{number}.pyz" for number in (0, 3, 4, 5)]
    assert running.returncode == 0, "what it imports late was still there"
    hidden = [path.name for path in (tmp_path / "root").glob(".parparchik-[12]*")]
    assert hidden == []


def test_other_applications_in_the_same_root_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "root" / "other.pyz_0123" / "site-packages"
    other.mkdir(parents=True)
    for number in range(5):
        run(make_stub(tmp_path / "build", str(number)), {"SHIV_ROOT": str(tmp_path / "root")})
    assert other.exists()


def test_an_interpreter_without_extension_modules_is_told_what_is_needed(tmp_path: Path) -> None:
    archive = make_stub(tmp_path, extension=".cpython-399-x86_64-linux-gnu.so")
    line = refuse(archive, {"SHIV_ROOT": str(tmp_path / "root")})
    assert "needs CPython 3.11 to 3.14" in line
    assert not (tmp_path / "root").exists()


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Where another user can read; pytest's own directories are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_what_another_user_unpacked_beforehand_is_used(public_directory: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("the system has no python3 that every user may start")
    archive = make_stub(public_directory)
    environment = {"SHIV_ROOT": str(public_directory / "root")}
    for user in (None, NOBODY):  # as when a container image is made, and when it runs
        told = subprocess.run(
            command(archive, python=python),
            env=environment,
            user=user,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (told.returncode, told.stderr) == (0, "")
        assert str(public_directory / "root") in told.stdout
