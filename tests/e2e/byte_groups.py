"""Servers of objects as processes of their own, of one worker or several, and what may be asked of
them by clients on connections of their own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from tests.cli.processes import Program, program
from tests.e2e.bytes_s3 import BUCKET, BytesS3
from tests.plain_http import NO_TLS

DEADLINE_S = 30.0


def until(true: Callable[[], object], said: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


@dataclass
class Group:
    """`workers` is how many answer."""

    program: Program
    url: str
    workers: int

    @property
    def pid(self) -> int:
        return self.program.process.pid

    def pids(self) -> set[int]:
        """Of the workers that run."""
        found: set[int] = set()
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found |= {int(pid) for pid in children.read_text().split()}
        return found

    def url_of(self, key: str) -> str:
        return f"{self.url}/objects/{BUCKET}/{key}"

    def get(self, key: str) -> httpx.Response:
        return httpx.get(self.url_of(key), timeout=DEADLINE_S, verify=NO_TLS)

    def put(self, key: str, data: bytes) -> httpx.Response:
        return httpx.put(self.url_of(key), content=data, timeout=DEADLINE_S, verify=NO_TLS)

    def post(self, path: str, document: object) -> httpx.Response:
        return httpx.post(self.url + path, json=document, timeout=DEADLINE_S, verify=NO_TLS)

    def figures(self, path: str = "/stats") -> dict[str, object]:
        answer = httpx.get(self.url + path, timeout=DEADLINE_S, verify=NO_TLS)
        document = answer.json()
        assert isinstance(document, dict)
        return document

    def asked_of(self, key: str) -> dict[int, httpx.Response]:
        """What each worker says, by its number."""
        answers: dict[int, httpx.Response] = {}

        def ask() -> bool:
            name = f"ask-{time.monotonic_ns()}"
            answer = httpx.get(
                self.url_of(key),
                headers={"X-Request-Id": name},
                timeout=DEADLINE_S,
                verify=NO_TLS,
            )
            answers[self.worker_of(name)] = answer
            return len(answers) == self.workers

        until(ask, lambda: self.program.output)
        return answers

    def known_by_all(self, key: str) -> None:
        """Have every worker keep the object."""
        until(
            lambda: all(
                answer.headers["x-cache"] == "HIT" for answer in self.asked_of(key).values()
            ),
            lambda: self.program.output,
        )

    def worker_of(self, request_id: str) -> int:
        found: list[int] = []

        def look() -> bool:
            for line in self.program.output.splitlines():
                if f'"{request_id}"' in line:
                    found.append(msgspec.json.decode(line).get("worker", 1))
            return bool(found)

        until(look, lambda: self.program.output)
        return found[0]

    def all_up(self) -> None:
        until(lambda: len(self.pids()) == self.workers, lambda: self.program.output)

    def end(self) -> list[str]:
        """SIGTERM; returns what it has said, once it has ended well."""
        assert self.program.end(signal.SIGTERM) == 0, self.program.output
        return self.program.output.splitlines()


def environ_of(s3: BytesS3, workers: int, **more: str) -> dict[str, str]:
    return {
        "ALLOWED_BUCKETS": f"{BUCKET}:all",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_WORKERS": str(workers),
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_S3_READ_TIMEOUT": "5",
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **more,
    }


@contextmanager
def group(s3: BytesS3, workers: int, *arguments: str, **more: str) -> Iterator[Group]:
    """Ready, with all workers up."""
    environ = environ_of(s3, workers, **more)
    with program("serve", *arguments, environ=environ) as process:
        [url] = json.loads(process.wait_for('"listening"'))["urls"]
        running = Group(process, url, workers)
        if workers > 1:
            up = lambda: process.output.count('"worker up"') >= workers  # noqa: E731
            until(up, lambda: process.output)
        until(
            lambda: httpx.get(url + "/readiness", verify=NO_TLS).status_code == 200,
            lambda: process.output,
        )
        yield running


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
