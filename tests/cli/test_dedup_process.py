"""The dedup store with several processes on one port: what one has stored, all know."""

from __future__ import annotations

import re
import signal
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.moto_buckets import Buckets
from tests.cli.processes import program


def ask(url: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """On a connection of its own: whichever worker takes it."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, body, {"Accept-Encoding": "identity"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def environ_of(buckets: Buckets, directory: Path) -> dict[str, str]:
    assert buckets.request("PUT", "/dedup")[0] in (200, 409)
    return buckets.environ | {
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_DEDUP_BUCKET": "dedup",
        "PARPARCHIK_DEDUP_PREFIX": f"{directory.name}/",
        "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{directory}/files.db",
        "PARPARCHIK_DEDUP_CLEAN_EVERY": "300ms",
    }


def test_workers_share_one_store(buckets: Buckets, tmp_path: Path) -> None:
    environ = environ_of(buckets, tmp_path)
    with program("serve", "--port", "0", "--workers", "2", environ=environ) as running:
        found = re.search(r"http://[0-9.:]+", running.wait_for("listening"))
        assert found is not None
        url = found[0]
        for number in range(30):
            at = quote(formatdate(number))
            path = f"/ft/files/{number % 10}?last_modified={at}"
            assert ask(url, "PUT", path, b"content %d" % number)[0] == 200
            assert ask(url, "GET", f"/ft/files/{number % 10}") == (200, b"content %d" % number)
        for _ in range(6):
            assert ask(url, "GET", "/ft/list")[1].split() == [b"%d" % n for n in range(10)]
            assert ask(url, "GET", "/health")[0] == 200
        figures = ask(url, "GET", "/metrics")[1].decode()
        assert re.search(r"^parparchik_dedup_puts_total 30\.0$", figures, re.MULTILINE)
        assert running.end(signal.SIGTERM) == 0
    assert "Traceback" not in running.output
    assert "restart" not in running.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_cannot_be_ends_it_at_once(
    buckets: Buckets, tmp_path: Path, workers: str
) -> None:
    environ = environ_of(buckets, tmp_path)
    environ["PARPARCHIK_DEDUP_METADATA"] = "sqlite:////nowhere/at/all/files.db"
    with program("serve", "--port", "0", "--workers", workers, environ=environ) as running:
        assert running.wait() == 2
    assert "the directory /nowhere/at/all does not exist" in running.output
    assert "Traceback" not in running.output
