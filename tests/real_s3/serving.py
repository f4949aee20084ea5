"""parparchik as its users run it: a process of its own, before a real S3 server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from tests.cli.processes import Program, program
from tests.plain_http import NO_TLS
from tests.real_s3.rgw import Rgw, User

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Server:
    process: Program
    url: str
    http: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.http.get(self.url + path)

    def file(self, bucket: str, key: str, method: str = "GET") -> httpx.Response:
        return self.http.request(method, f"{self.url}/{bucket}/{quote(key, safe='/')}")

    def keys(self) -> list[str]:
        return [entry["key"] for entry in self.get("/list").json()["files"]]

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something becomes true; fail when it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, self.process.output
            time.sleep(0.05)

    def until_ready(self) -> None:
        self.until(lambda: self.get("/readiness").status_code == 200)


def settings(rgw: Rgw, buckets: str, *, user: User | None = None) -> dict[str, str]:
    user = user or rgw.owner
    return {
        "PARPARCHIK_BUCKETS": buckets,
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
        "S3_ENDPOINT": rgw.endpoint,
        "AWS_ACCESS_KEY_ID": user.access_key_id,
        "AWS_SECRET_ACCESS_KEY": user.secret_access_key,
    }


@contextmanager
def serving(environ: dict[str, str], *, ready: bool = True) -> Iterator[Server]:
    """A server on a free port; waited for until it is ready, unless told otherwise."""
    with (
        program("serve", environ=environ) as process,
        httpx.Client(timeout=30, verify=NO_TLS) as client,
    ):
        [url] = json.loads(process.wait_for('"listening"'))["urls"]
        server = Server(process, url, client)
        if ready:
            server.until_ready()
        yield server
