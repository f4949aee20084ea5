"""SIGHUP and rolling restarts of real processes, as clients see them that never pause."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.cli.moto_buckets import Buckets
from tests.cli.processes import Program, program

CLIENTS = 4
DEADLINE_S = 30.0


def url_of(running: Program) -> str:
    line = json.loads(running.wait_for('"listening"'))
    return str(line["urls"][0]).removeprefix("http://")


def status_of(address: str, path: str) -> int:
    connection = HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def is_ready(address: str) -> bool:
    try:
        return status_of(address, "/readiness") == 200
    except OSError:
        return False


def until_ready(address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_ready(address):
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Balancer:
    """Clients on kept connections; `backends` says where new requests go. Every answer is
    counted by status, every failure kept."""

    def __init__(self, path: str, backends: list[str], headers: dict[str, str]) -> None:
        self.backends = backends
        self.headers = headers
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self._path = path
        self._stop = threading.Event()

    def _client(self) -> None:
        connections: dict[str, HTTPConnection] = {}
        turn = 0
        while not self._stop.is_set():
            turn += 1
            backends = self.backends
            address = backends[turn % len(backends)]
            connection = connections.setdefault(address, HTTPConnection(address, timeout=10))
            try:
                connection.request("GET", self._path, headers=self.headers)
                response = connection.getresponse()
                response.read()
                self.answers[response.status] += 1
            except (OSError, HTTPException) as error:
                self.failures.append(f"{address}: {error!r}")
                connections.pop(address).close()
        for connection in connections.values():
            connection.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def until_more(self, count: int) -> None:
        """Wait for so many more answers."""
        goal = self.answers.total() + count
        deadline = time.monotonic() + DEADLINE_S
        while self.answers.total() < goal and not self.failures:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_rolling_restart_under_load_fails_no_request(buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt")
    environ = {**buckets.environ, "PARPARCHIK_SHUTDOWN_DELAY": "500ms"}
    with ExitStack() as stack:
        running = {}
        for _ in range(2):
            one = stack.enter_context(program("serve", "--port", "0", environ=environ))
            running[url_of(one)] = one
        for address in running:
            until_ready(address)
        load = Balancer(f"/{buckets.public}/a.txt", list(running), {})
        with load.at_work():
            for address, old in list(running.items()):
                load.until_more(200)
                old.process.send_signal(signal.SIGTERM)
                while is_ready(address):  # at once, and before anything is refused
                    time.sleep(0.01)
                load.backends = [other for other in load.backends if other != address]
                assert old.wait() == 0
                new = stack.enter_context(program("serve", "--port", "0", environ=environ))
                new_address = url_of(new)
                until_ready(new_address)
                load.backends = [*load.backends, new_address]
            load.until_more(200)
    assert load.failures == []
    assert set(load.answers) == {302}


def configured(file: Path, buckets: Buckets, keys: str) -> None:
    file.write_text(f'[auth]\napi_keys = "{keys}"\n')


def test_a_reload_under_load_fails_no_request_and_counters_go_on(
    buckets: Buckets, tmp_path: Path
) -> None:
    buckets.put(buckets.private, "deed.pdf")
    settings = tmp_path / "settings.toml"
    configured(settings, buckets, "first-key-0123456789")
    environ = {**buckets.environ, "PARPARCHIK_S3_TOTAL_TIMEOUT": "2s"}
    command = ("serve", "--port", "0", "--config", str(settings))
    with program(*command, environ=environ) as running:
        address = url_of(running)
        until_ready(address)
        load = Balancer(
            f"/{buckets.private}/deed.pdf", [address], {"X-API-Key": "first-key-0123456789"}
        )
        with load.at_work():
            load.until_more(200)
            configured(settings, buckets, "first-key-0123456789,second-key-0123456789")
            running.process.send_signal(signal.SIGHUP)
            running.wait_for('"settings changed"')
            load.headers = {"X-API-Key": "second-key-0123456789"}
            load.until_more(200)
        assert load.failures == []
        assert set(load.answers) <= {302}
        connection = HTTPConnection(address, timeout=10)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
        connection.close()
        (counted,) = [
            float(line.split()[-1])
            for line in metrics.splitlines()
            if line.startswith("parparchik_requests_total{") and 'status="302"' in line
        ]
        assert counted == load.answers[302]
        assert running.end(signal.SIGTERM) == 0
    assert "Traceback" not in running.output


def test_settings_that_cannot_work_change_nothing(buckets: Buckets, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    configured(settings, buckets, "first-key-0123456789")
    command = ("serve", "--port", "0", "--config", str(settings))
    with program(*command, environ=buckets.environ) as running:
        address = url_of(running)
        until_ready(address)
        settings.write_text("[routes]\nverify_ttl = -1\n")
        running.process.send_signal(signal.SIGHUP)
        refused = json.loads(running.wait_for("settings refused"))
        assert "verify_ttl" in refused["reason"]
        settings.write_text('[server]\nport = 1\n[auth]\napi_keys = "another-key-0123456789"\n')
        # An option on the command line wins over the file, so the port is not what changes.
        running.process.send_signal(signal.SIGHUP)
        running.wait_for('"settings changed"')
        assert is_ready(address)
        assert running.end(signal.SIGTERM) == 0
    assert "first-key" not in running.output


def test_what_was_learnt_is_written_when_it_ends_within_a_reload(
    buckets: Buckets, tmp_path: Path
) -> None:
    """The new settings never work: the running ones answer, learn, and end in order."""
    settings = tmp_path / "settings.toml"
    configured(settings, buckets, "first-key-0123456789")
    environ = {**buckets.environ, "PARPARCHIK_MANIFEST_WINDOW": "1h"}
    environ.pop("S3_ENDPOINT")
    endpoint = f's3 = {{ endpoint = "{buckets.environ["S3_ENDPOINT"]}" }}\n'
    settings.write_text(endpoint)
    with program("serve", "--port", "0", "--config", str(settings), environ=environ) as running:
        address = url_of(running)
        until_ready(address)
        for port in (9, 19):  # the second takes the place of the first
            settings.write_text(f's3 = {{ endpoint = "127.0.0.1:{port}" }}\n')
            running.process.send_signal(signal.SIGHUP)
            running.wait_for("their application starts beside the running one")
        buckets.put(buckets.public, "learnt.txt")
        assert status_of(address, f"/{buckets.public}/learnt.txt") == 302
        assert running.end(signal.SIGTERM) == 0
    assert "Traceback" not in running.output
    assert "settings changed" not in running.output
    manifest = buckets.get(buckets.public, ".parparchik/files.json")
    assert manifest is not None
    assert b"learnt.txt" in manifest
