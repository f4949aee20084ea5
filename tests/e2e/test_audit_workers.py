"""Workers and what an operator does to them: settings changed twice in a row, a certificate that
cannot be used, a restart on sockets that outlive it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import trustme

from tests.cli.processes import Program, program
from tests.e2e.rclone import ENVIRON, free_port, rclone
from tests.plain_http import NO_TLS

DEADLINE_S = 30.0
STARTED = '"credentials found"'
"""Said once by the parent and by each worker."""

OLD, NEW = "the-old-key-0123456789", "the-new-key-0123456789"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with rclone({"open": ("a.txt",), "vault": ("deed.pdf",)}) as url:
        yield url


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def environ(endpoint: str, **more: str) -> dict[str, str]:
    return {
        **ENVIRON,
        "S3_ENDPOINT": endpoint,
        "PARPARCHIK_BUCKETS": "open::public,vault",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_WORKERS": "2",
        **more,
    }


def children(running: Program) -> set[int]:
    found: set[int] = set()
    for each in Path(f"/proc/{running.process.pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(pid) for pid in each.read_text().split()}
    return found


def statuses(url: str, key: str, times: int = 12) -> set[int]:
    """How `/list` answers to `key`, on so many connections of their own."""
    headers = {"X-API-Key": key}
    return {
        httpx.get(f"{url}/list", headers=headers, verify=NO_TLS).status_code for _ in range(times)
    }


def test_settings_that_change_while_workers_do_are_the_settings_of_all(
    endpoint: str, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[auth]\napi_keys = "{OLD}"\n')
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = environ(endpoint, PARPARCHIK_PORT=str(port))
    with program("serve", "--config", str(settings), environ=given) as running:
        running.wait_for('"listening"')
        until(lambda: statuses(url, OLD) == {200})
        first = children(running)
        settings.write_text(f'[auth]\napi_keys = "{NEW}"\n')
        running.process.send_signal(signal.SIGHUP)
        until(lambda: children(running) - first)  # a new worker has been started
        settings.write_text(f'[auth]\napi_keys = "{OLD}"\n')
        running.process.send_signal(signal.SIGHUP)
        until(lambda: len(children(running)) == 2 and statuses(url, NEW) == {401})
        assert statuses(url, OLD) == {200}
        assert running.end(signal.SIGTERM) == 0


@contextmanager
def with_tls(endpoint: str, file: Path, **more: str) -> Iterator[tuple[Program, int]]:
    port = free_port()
    given = environ(
        endpoint, PARPARCHIK_PORT=str(port), PARPARCHIK_TLS_CERTIFICATE=str(file), **more
    )
    with program("serve", environ=given) as running:
        yield running, port


def test_a_worker_is_replaced_while_the_certificate_file_is_bad(
    endpoint: str, tmp_path: Path
) -> None:
    """What was refused must not matter: the running certificate stays, for new workers too."""
    file = tmp_path / "pem"
    authority = trustme.CA()
    authority.issue_cert("front.test").private_key_and_cert_chain_pem.write_to_path(file)
    with with_tls(endpoint, file) as (running, _):
        until(lambda: running.output.count(STARTED) == 3)
        file.write_text("no certificate")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("settings refused")
        before = children(running)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: running.output.count(STARTED) == 4)
        assert len(children(running) - {victim}) == 2
        assert running.output.count('"worker ended"') == 1
        assert running.end(signal.SIGTERM) == 0


def test_a_certificate_that_cannot_be_used_ends_the_start_as_it_does_without_workers(
    endpoint: str, tmp_path: Path
) -> None:
    file = tmp_path / "pem"
    file.write_text("no certificate")
    with with_tls(endpoint, file) as (running, _):
        assert running.wait() == 2
        assert running.output.splitlines()[-1].startswith("parparchik: PARPARCHIK_TLS_CERTIFICATE")
        assert '"listening"' not in running.output


def test_a_check_refuses_the_certificate_that_a_start_refuses(
    endpoint: str, tmp_path: Path
) -> None:
    file = tmp_path / "pem"
    file.write_text("no certificate")
    given = environ(endpoint, PARPARCHIK_TLS_CERTIFICATE=str(file))
    with program("check", environ=given) as running:
        assert running.wait() == 1
        (line,) = [each for each in running.output.splitlines() if "certificate" in each]
        assert "FAILED" in line
        assert "PARPARCHIK_TLS_CERTIFICATE" in line


def shown(port: int, times: int = 12) -> set[str]:
    """The certificates that so many connections, one after the other, are shown."""
    return {ssl.get_server_certificate(("127.0.0.1", port)) for _ in range(times)}


def issue(file: Path) -> tuple[str, str]:
    """Into `file`; returns the certificate and its key."""
    issued = trustme.CA().issue_cert("front.test")
    issued.private_key_and_cert_chain_pem.write_to_path(file)
    return issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()


def same(one: set[str], other: str) -> bool:
    return {each.strip() for each in one} == {other.strip()}


def test_another_certificate_is_shown_by_the_workers_that_there_are(
    endpoint: str, tmp_path: Path
) -> None:
    file, settings = tmp_path / "pem", tmp_path / "settings.toml"
    before, _ = issue(file)
    settings.write_text(f'[auth]\napi_keys = "{OLD}"\n')
    with with_tls(endpoint, file, PARPARCHIK_CONFIG=str(settings)) as (running, port):
        running.wait_for('"workers start"')
        for _ in range(2):
            running.wait_for('"worker up"')
        assert same(shown(port), before)
        first = children(running)
        certificate, key = issue(file)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for('"certificate read"')
        until(lambda: same(shown(port), certificate))
        assert children(running) == first
        for pid in first:
            secret = key.splitlines()[1].encode()
            for what in ("cmdline", "environ"):
                assert secret not in Path(f"/proc/{pid}/{what}").read_bytes()
        file.write_text("no certificate")
        os.kill(min(first), signal.SIGKILL)
        running.wait_for('"worker starts again"')
        running.wait_for('"worker up"')
        assert same(shown(port), certificate)
        assert running.output.count('"worker ended"') == 1
        # With other settings, too: each worker is changed once.
        certificate, _ = issue(file)
        settings.write_text(f'[auth]\napi_keys = "{NEW}"\n')
        second = children(running)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for('"settings changed"')
        assert same(shown(port), certificate)
        until(lambda: len(children(running)) == 2)
        assert not children(running) & second
        assert running.output.count('"worker up"') == 2 + 1 + 2
        assert key.splitlines()[1] not in running.output
        assert running.end(signal.SIGTERM) == 0


class Load:
    """Clients that keep their connection as long as they are let."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._port = port
        self._over = Event()
        self._threads = [Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        while not self._over.is_set():
            try:
                connection.request("GET", "/open/a.txt")
                answer = connection.getresponse()
                answer.read()
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            else:
                self.answered += 1
                if answer.status != 302:
                    self.failed.append(str(answer.status))
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


_ON_PASSED_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "parparchik", "serve"])
"""


@contextmanager
def on_socket(listener: socket.socket, environ: dict[str, str]) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_PASSED_SOCKET, str(listener.fileno())],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[listener.fileno()],
        text=True,
    )
    running = Program(process)
    try:
        yield running
    finally:
        process.kill()
        running.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_restart_of_workers_on_a_socket_that_stays_fails_no_request(endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        given = environ(endpoint)
        with on_socket(listener, given) as old, on_socket(listener, given) as new:
            until(lambda: all(each.output.count(STARTED) == 3 for each in (old, new)))
            with Load(port) as load:
                until(lambda: load.answered > 200)
                assert old.end(signal.SIGTERM) == 0
                answered = load.answered
                until(lambda: load.answered > answered + 200)
            assert load.failed == []
            assert new.end(signal.SIGTERM) == 0
