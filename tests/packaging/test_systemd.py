"""The unit file: what systemd says of it, and that its numbers fit ours."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from urllib.request import urlopen

from pyz.build import PROJECT

from parparchik.config.load import load
from parparchik.config.settings import SETTINGS
from parparchik.server.serve import FLUSH_AT_LEAST_S
from tests.packaging.programs import PACKAGING, find, run

UNIT = PACKAGING / "systemd" / f"{PROJECT}.service"
SOCKET = PACKAGING / "systemd" / f"{PROJECT}.socket"
EXAMPLE = PACKAGING / "systemd" / f"{PROJECT}.env"


def service() -> dict[str, list[str]]:
    """The directives of [Service], each with all its values in order."""
    section = UNIT.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    found = defaultdict(list)
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def environment() -> dict[str, str]:
    return dict(value.split("=", 1) for value in service()["Environment"])


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_systemd_finds_nothing_wrong() -> None:
    assert run(find("systemd-analyze", required_by=""), "verify", UNIT, SOCKET) == ""


def test_the_socket_is_where_the_example_listens() -> None:
    (stream,) = re.findall(r"^ListenStream=(\d+)$", SOCKET.read_text(), re.MULTILINE)
    assert int(stream) == load(example()).config.server.port
    assert SOCKET.stem == UNIT.stem, "or systemd gives it to another service"


def test_it_answers_on_a_socket_that_systemd_holds() -> None:
    activate = find("systemd-socket-activate", required_by="")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**example(), "PARPARCHIK_PORT": "1", "S3_ENDPOINT": "127.0.0.1:9"}
    process = subprocess.Popen(
        [
            *(activate, f"--listen=127.0.0.1:{port}"),
            *(f"--setenv={name}={value}" for name, value in environ.items()),
            *(sys.executable, "-m", "parparchik", "serve"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "Listening on" in process.stderr.readline()
        # Its first connection starts the program.
        with urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=20) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_systemd_finds_little_exposed() -> None:
    report = run(
        find("systemd-analyze", required_by=""),
        *("security", "--offline=true", "--no-pager", "--threshold=15"),  # tenths; 100 is no guard
        UNIT,
    )
    assert "Overall exposure level" in report


def test_the_archive_unpacks_where_systemd_makes_a_directory() -> None:
    assert service()["CacheDirectory"] == [PROJECT]
    assert environment()["SHIV_ROOT"] == f"%C/{PROJECT}"
    assert service()["ProtectSystem"] == ["strict"], "nowhere else could it"


def test_systemd_waits_longer_than_a_shutdown_may_take() -> None:
    (stop_s,) = service()["TimeoutStopSec"]
    assert int(stop_s) > float(environment()["PARPARCHIK_SHUTDOWN_GRACE"]) + FLUSH_AT_LEAST_S


def test_a_reload_is_the_signal_that_reads_the_settings_again() -> None:
    assert service()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_every_setting_that_it_names_exists() -> None:
    known = {name for setting in SETTINGS for name in (setting.environ, setting.also)}
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    named |= environment().keys() - {"SHIV_ROOT"}
    assert named <= known
    assert "PARPARCHIK_API_KEYS_FILE" in named


def test_the_example_starts_as_it_is() -> None:
    config = load(example()).config
    assert [(one.bucket.name, one.bucket.public) for one in config.buckets] == [
        ("pictures", True),
        ("documents", False),
    ]
