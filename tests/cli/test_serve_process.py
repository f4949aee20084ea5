"""`parparchik serve` as systemd and an operator's shell see it."""

from __future__ import annotations

import json
import signal
import socket
from http.client import HTTPConnection

import pytest

from tests.cli.moto_buckets import Buckets
from tests.cli.processes import Program, program


def url_of(running: Program) -> str:
    line = json.loads(running.wait_for('"listening"'))
    return str(line["urls"][0]).removeprefix("http://")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_ends_with_0(buckets: Buckets, number: signal.Signals) -> None:
    buckets.put(buckets.public, "a.txt")
    with program("serve", "--port", "0", environ=buckets.environ) as running:
        connection = HTTPConnection(url_of(running), timeout=10)
        connection.request("GET", f"/{buckets.public}/a.txt")
        assert connection.getresponse().status == 302
        connection.close()
        assert running.end(number) == 0
    assert "Traceback" not in running.output
    assert "test-secret-access-key" not in running.output


def test_options_win_over_the_environment(buckets: Buckets) -> None:
    environ = {**buckets.environ, "PARPARCHIK_PORT": "tcp://10.0.0.1:8080"}
    options = ("--port", "0", "--host", "127.0.0.1", "--log-level", "info", "--log-format", "json")
    environ |= {"PARPARCHIK_HOST": "192.0.2.1", "PARPARCHIK_LOG_LEVEL": "error"}
    with program("serve", *options, environ=environ) as running:
        assert url_of(running).startswith("127.0.0.1:")
        running.end(signal.SIGTERM)


def test_warnings_about_the_settings_are_logged(buckets: Buckets) -> None:
    environ = {**buckets.environ, "PARPARCHIK_VERIFY_TLL": "1"}
    with program("serve", "--port", "0", environ=environ) as running:
        running.wait_for("did you mean PARPARCHIK_VERIFY_TTL?")
        running.end(signal.SIGTERM)


def test_a_port_that_is_taken(buckets: Buckets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with program("serve", "--port", port, environ=buckets.environ) as running:
            assert running.wait() != 0
    last = running.output.splitlines()[-1]
    assert last.startswith("parparchik: ")
    assert port in last
    assert "in use" in last
    assert "Traceback" not in running.output


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "PARPARCHIK_BUCKETS"),
        ({"PARPARCHIK_BUCKETS": "abc", "PARPARCHIK_PORT": "http"}, "PARPARCHIK_PORT"),
        ({"PARPARCHIK_BUCKETS": "abc", "S3_ENDPOINT": "ftp://x"}, "S3_ENDPOINT"),
        ({"PARPARCHIK_BUCKETS": "abc", "AWS_CA_BUNDLE": "/nonexistent"}, "AWS_CA_BUNDLE"),
        ({"PARPARCHIK_BUCKETS": "abc", "PARPARCHIK_API_KEY": "x"}, "PARPARCHIK_API_KEY "),
    ],
)
def test_bad_settings_end_with_2_and_one_line(environ: dict[str, str], named: str) -> None:
    with program("serve", environ=environ) as running:
        assert running.wait() == 2
    assert running.output.count("\n") == 1
    assert running.output.startswith("parparchik: ")
    assert named in running.output
