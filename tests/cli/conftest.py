"""A bare environment, a moto, and the program in this process."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator

import pytest
import structlog
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from parparchik.cli import main
from tests.cli.moto_buckets import Buckets, Command


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def buckets(moto_endpoint: str) -> Buckets:
    suffix = secrets.token_hex(6)  # all motos of a process share their buckets
    made = Buckets(moto_endpoint, f"open-{suffix}", f"shut-{suffix}")
    for bucket in (made.public, made.private):
        assert made.request("PUT", f"/{bucket}")[0] == 200
    return made


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours or AWS's from outside, and no questions to a metadata service."""
    for name in os.environ:
        if name.startswith(("PARPARCHIK_", "AWS_", "S3_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


@pytest.fixture
def command() -> Iterator[Command]:
    """Runs the program here; what it does to the logging is undone."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(line: str | list[str], environ: dict[str, str] | None = None) -> Result:
        arguments = line.split() if isinstance(line, str) else line
        return CliRunner().invoke(main, arguments, env=environ)

    yield run
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
