"""Servers of the dedup store as processes of their own, and what clients ask of them, each on a
connection of its own: whichever worker takes it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from types import MappingProxyType
from urllib.parse import quote

from tests.cli.processes import program
from tests.e2e.byte_groups import DEADLINE_S, Group, until
from tests.e2e.dedup_s3 import BUCKET, DedupS3


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    request_id: str


@dataclass
class DedupGroup(Group):
    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        name = secrets.token_hex(8)
        given = {"Accept-Encoding": "identity", "X-Request-Id": name}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=DEADLINE_S)
        try:
            connection.request(method, target, body, given)
            response = connection.getresponse()
            return Reply(response.status, response.read(), name)
        finally:
            connection.close()

    def change(self, method: str, path: str, version_s: int, body: bytes | None = None) -> Reply:
        at = quote(formatdate(version_s))
        return self.ask(method, f"/ft/files/{path}?last_modified={at}", body)

    def content(self, path: str) -> bytes | None:
        reply = self.ask("GET", f"/ft/files/{path}")
        assert reply.status in (200, 404), reply
        return reply.body if reply.status == 200 else None

    def paths(self, folder: str = "") -> list[str]:
        reply = self.ask("GET", f"/ft/list/{folder}")
        assert reply.status == 200, reply
        return reply.body.decode().split()

    def health(self) -> tuple[int, dict[str, object]]:
        reply = self.ask("GET", "/health")
        return reply.status, json.loads(reply.body)

    def metrics(self) -> dict[str, float]:
        """Of the dedup store, without `parparchik_dedup_`."""
        text = self.ask("GET", "/metrics").body.decode()
        found = re.findall(r"^parparchik_dedup_(\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}


@contextmanager
def dedup_group(
    s3: DedupS3, metadata: str, workers: int = 1, *, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[DedupGroup]:
    """Ready, with all workers up; `more` is of its environment."""
    environ = {
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_WORKERS": str(workers),
        "PARPARCHIK_LOG_FORMAT": "json",
        "PARPARCHIK_DEDUP_BUCKET": BUCKET,
        "PARPARCHIK_DEDUP_METADATA": metadata,
        "S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **more,
    }
    with program("serve", environ=environ) as process:
        [url] = json.loads(process.wait_for('"listening"'))["urls"]
        running = DedupGroup(process, url, workers)
        if workers > 1:
            up = lambda: process.output.count('"worker up"') >= workers  # noqa: E731
            until(up, lambda: process.output)
        until(lambda: running.ask("GET", "/readiness").status == 200, lambda: process.output)
        yield running
