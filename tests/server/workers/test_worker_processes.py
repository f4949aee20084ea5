"""Groups of real processes: what clients see of them, also when some are killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

import boto3
import httpx
import msgspec
import pytest

from tests.cli.processes import Program
from tests.e2e.rclone import ENVIRON, free_port, rclone
from tests.plain_http import NO_TLS

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    keys = tuple(f"k{n}" for n in range(50))
    with rclone({"photos": keys, "vault": ("deed.pdf",)}) as url:
        yield url


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Running:
    """A group. Its workers are told apart by the access log."""

    program: Program
    url: str

    @property
    def pid(self) -> int:
        return self.program.process.pid

    def workers(self) -> set[int]:
        found: set[int] = set()
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found |= {int(pid) for pid in children.read_text().split()}
        return found

    def get(self, target: str) -> httpx.Response:
        """A request on a connection of its own."""
        return httpx.get(self.url + target, timeout=DEADLINE_S, verify=NO_TLS)

    def at_each(self, target: str, count: int = 2) -> list[httpx.Response]:
        """The answers of `count` different workers to the same request."""
        answers: dict[int, httpx.Response] = {}

        def ask() -> bool:
            name = f"ask-{time.monotonic_ns()}"
            headers = {"X-Request-Id": name}
            answer = httpx.get(
                self.url + target, headers=headers, timeout=DEADLINE_S, verify=NO_TLS
            )
            answers[self.worker_of(name)] = answer
            return len(answers) == count

        until(ask)
        return list(answers.values())

    def worker_of(self, request_id: str) -> int:
        """Which worker logged this request."""
        found: list[int] = []

        def look() -> bool:
            for line in self.program.output.splitlines():
                if f'"{request_id}"' in line:
                    found.append(msgspec.json.decode(line)["worker"])
            return bool(found)

        until(look)
        return found[0]

    def sum_of(self, metric: str) -> float:
        lines = re.findall(
            rf"^{re.escape(metric)}(?:{{.*}})? (.*)$", self.get("/metrics").text, re.MULTILINE
        )
        return sum(map(float, lines))


@contextmanager
def group(endpoint: str, count: int = 2, **environ: str) -> Iterator[Running]:
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.server.workers.parent", str(count)],
        env={
            "PATH": os.environ["PATH"],
            **ENVIRON,
            "PARPARCHIK_BUCKETS": "photos::public,vault",
            "PARPARCHIK_HOST": "127.0.0.1",
            "PARPARCHIK_PORT": url.rpartition(":")[2],
            "PARPARCHIK_LOG_FORMAT": "json",
            "S3_ENDPOINT": endpoint,
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(Program(process), url)
    try:
        running.program.wait_for('"listening"')
        until(lambda: running.get("/readiness").status_code == 200)
        yield running
    finally:
        process.kill()
        running.program.wait()
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Load:
    """Clients that ask one request a connection, until told to stop."""

    url: str
    clients: int = 4
    answered: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = Event()
        self._threads = [Thread(target=self._run) for _ in range(self.clients)]

    def _run(self) -> None:
        n = 0
        while not self._over.is_set():
            n += 1
            connection = HTTPConnection(self.url.removeprefix("http://"), timeout=DEADLINE_S)
            try:
                connection.request("GET", f"/photos/k{n % 50}")
                status = connection.getresponse().status
            except (OSError, HTTPException) as error:
                self.failed.append(type(error).__name__)
            else:
                self.answered += 1
                if status != 302:
                    self.failed.append(str(status))
            finally:
                connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


@pytest.fixture(scope="module")
def lasting(endpoint: str) -> Iterator[Running]:
    """A group that no test ends."""
    with group(endpoint) as running:
        running.at_each("/status")
        yield running


@pytest.fixture
def running(endpoint: str) -> Iterator[Running]:
    with group(endpoint) as running:
        running.at_each("/status")
        yield running


def test_any_worker_speaks_for_all(lasting: Running) -> None:
    one, other = lasting.at_each("/status")
    assert one.json() == other.json()
    assert one.json()["file_count"] == 51
    one, other = lasting.at_each("/list")
    assert one.json() == other.json()
    assert one.json()["count"] == 51
    redirects = 'parparchik_requests_total{kind="bucket",status="302"}'
    before = lasting.sum_of(redirects)
    for n in range(20):
        assert lasting.get(f"/photos/k{n}").status_code == 302
    one, other = lasting.at_each("/metrics")
    for answer in (one, other):
        assert f"{redirects} {before + 20:g}" in answer.text.replace(".0", "")
        assert "parparchik_workers 2.0" in answer.text
        assert "parparchik_registry_files 51.0" in answer.text
        assert answer.text.count("parparchik_build_info{") == 1


def test_what_one_learns_the_other_knows(lasting: Running, endpoint: str) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ENVIRON["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRON["AWS_SECRET_ACCESS_KEY"],
    )
    missing = lasting.at_each("/photos/new")
    assert {answer.status_code for answer in missing} == {404}  # remembered by both for 5 s
    s3.put_object(Bucket="vault", Key="new", Body=b"x")
    assert lasting.get("/update?filename=new").status_code == 200
    found = lasting.at_each("/photos/new")
    assert {answer.status_code for answer in found} == {302}
    assert all("/vault/new" in answer.headers["location"] for answer in found)
    s3.put_object(Bucket="photos", Key="new", Body=b"x")
    s3.delete_object(Bucket="vault", Key="new")
    assert httpx.post(f"{lasting.url}/relocate?filename=new", verify=NO_TLS).status_code == 200
    found = lasting.at_each("/photos/new")
    assert all("/photos/new" in answer.headers["location"] for answer in found)
    s3.delete_object(Bucket="photos", Key="new")
    s3.close()


def test_signals_to_a_worker_are_the_parents_to_obey(lasting: Running) -> None:
    workers = lasting.workers()
    for pid in workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    lasting.at_each("/status")
    assert lasting.workers() == workers


def test_connections_are_shared(lasting: Running) -> None:
    """Of 32 that come at once no worker is left without."""
    host, _, port = lasting.url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(32)
        ]
        for number, each in enumerate(opened):
            each.sendall(
                b"GET /photos/k1 HTTP/1.1\r\nHost: t\r\nX-Request-Id: c%d\r\n\r\n" % number
            )
        for each in opened:
            assert each.recv(65_536).startswith(b"HTTP/1.1 302")
    served = Counter(lasting.worker_of(f"c{number}") for number in range(32))
    assert min(served[1], served[2]) >= 4, served


def test_a_killed_worker_is_replaced_and_its_numbers_stay(running: Running) -> None:
    before = running.workers()
    for n in range(20):
        running.get(f"/photos/k{n}")
    counted = running.sum_of("parparchik_requests_total")
    seconds = running.sum_of("process_cpu_seconds_total")
    victim = min(before)
    with Load(running.url) as load:
        os.kill(victim, signal.SIGKILL)
        answered = load.answered
        until(lambda: load.answered > answered + 20)  # the sibling goes on
        until(lambda: len(running.workers() - {victim}) == 2)
        until(lambda: running.sum_of("parparchik_workers") == 2)
    # Connections that the victim had accepted are lost; nothing else is.
    assert not [failure for failure in load.failed if failure.isdigit()]
    assert len(load.failed) <= load.clients
    assert running.sum_of("parparchik_requests_total") >= counted
    assert running.sum_of("process_cpu_seconds_total") >= seconds
    assert running.sum_of("parparchik_worker_restarts_total") == 1
    running.at_each("/status")
    workers = running.workers()
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not any(is_running(pid) for pid in workers))


def test_new_settings_and_the_end_under_load(running: Running) -> None:
    before = running.workers()
    with Load(running.url) as load:
        until(lambda: load.answered > 20)
        running.program.process.send_signal(signal.SIGHUP)
        running.program.wait_for('"changed"')
        until(lambda: not any(is_running(pid) for pid in before))
        answered = load.answered
        until(lambda: load.answered > answered + 20)
    assert load.failed == []
    assert len(running.workers()) == 2
    assert running.workers().isdisjoint(before)
    counted = running.sum_of('parparchik_requests_total{kind="bucket",status="302"}')
    assert counted == load.answered
    secret = ENVIRON["AWS_SECRET_ACCESS_KEY"]
    for pid in running.workers():
        assert secret not in Path(f"/proc/{pid}/cmdline").read_text()
    with Load(running.url) as load:
        until(lambda: load.answered > 20)
        running.program.process.send_signal(signal.SIGTERM)
        assert running.program.wait() == 0
    # The sockets are closed in the end, which clients are told of.
    assert not [failure for failure in load.failed if failure.isdigit()]
    assert secret not in running.program.output
    lines = [msgspec.json.decode(line) for line in running.program.output.splitlines()]
    assert lines[-1]["event"] == "stopped"
    assert {line.get("worker") for line in lines if line["event"] == "request"} == {1, 2}


def test_it_is_for_the_program_alone_to_start_workers() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "parparchik", "worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert "serve --workers" in said.stderr
