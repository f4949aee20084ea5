"""parparchik set up as an operator does it, by its environment, before a moto, and asked by HTTP.

Everything is real but S3: settings, client, registry, web plane and sockets. Only the process is
the test's own, so that a server starts in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import trio
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from prometheus_client.parser import text_string_to_metric_families

from parparchik.config import load
from parparchik.server.listen import listen, url_of
from parparchik.server.s3_rooms import build_s3
from parparchik.server.serve import answer_until
from parparchik.server.wire import Process, build_application, build_plane
from tests.cli.moto_buckets import Buckets
from tests.plain_http import NO_TLS

MANIFEST = ".parparchik/files.json"
PATIENCE_S = 20.0
GRACE_S = 5.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "SECRETEXAMPLE"}
# What happened a moment ago does not count, and what changed is written at once.
FORGETFUL = {
    "PARPARCHIK_VERIFY_TTL": "0",
    "PARPARCHIK_NEGATIVE_TTL": "0",
    "PARPARCHIK_MANIFEST_WINDOW": "10ms",
}
# One try, a short one: for tests in which S3 is away.
IMPATIENT = {
    "PARPARCHIK_S3_RETRIES": "0",
    "PARPARCHIK_PROBE_TIMEOUT": "300ms",
    "PARPARCHIK_S3_TOTAL_TIMEOUT": "300ms",
}


class Scene(Buckets):
    """The buckets behind the server's back. `first` is the public one, `second` private."""

    __slots__ = ()

    @property
    def environ(self) -> dict[str, str]:
        mine = {"PARPARCHIK_PORT": "0", "PARPARCHIK_ACCESS_LOG": "false"}
        return super().environ | KEYS | FORGETFUL | mine

    @property
    def first(self) -> str:
        return self.public

    @property
    def second(self) -> str:
        return self.private

    def create(self, name: str) -> str:
        """A further bucket; 409 where another test has made it already."""
        assert self.request("PUT", f"/{name}")[0] in (200, 409)
        return name

    def delete(self, bucket: str, key: str) -> None:
        assert self.request("DELETE", f"/{bucket}/{quote(key)}")[0] == 204

    def age(self, bucket: str, key: str, by: timedelta) -> None:
        """Make an object older than it is; S3 has no request for that, moto's insides have."""
        objects = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
        objects[key].last_modified -= by

    def put_manifest(self, bucket: str, document: object, key: str = MANIFEST) -> None:
        self.put(bucket, key, json.dumps(document).encode())

    def manifest(self, bucket: str, key: str = MANIFEST) -> dict[str, Any]:
        data = self.get(bucket, key)
        assert data is not None, f"{bucket} has no manifest {key}"
        document: dict[str, Any] = json.loads(data)
        return document

    def manifest_keys(self, bucket: str) -> list[str]:
        return sorted(row["key"] for row in self.manifest(bucket)["files"])


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    http: httpx.AsyncClient
    stop: trio.Event
    ended: trio.Event

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(self.url + path, headers=headers)

    async def head(self, path: str) -> httpx.Response:
        return await self.http.head(self.url + path)

    async def post(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.post(self.url + path, headers=headers)

    async def file(self, namespace: str, key: str) -> httpx.Response:
        return await self.get(f"/{namespace}/{quote(key)}")

    async def entries(self) -> dict[str, dict[str, Any]]:
        """What /list has, by key."""
        return {entry["key"]: entry for entry in (await self.get("/list")).json()["files"]}

    async def metric(self, name: str) -> dict[tuple[str, ...], float]:
        """A metric's values by those of its labels; a plain one's by ()."""
        families = text_string_to_metric_families((await self.get("/metrics")).text)
        samples = [sample for family in families for sample in family.samples]
        return {tuple(s.labels.values()): s.value for s in samples if s.name == name}

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something becomes true; fail when it does not."""
        with trio.fail_after(PATIENCE_S):
            while not await holds():  # noqa: ASYNC110  it is told by HTTP alone
                await trio.sleep(0.01)

    async def until_ready(self) -> None:
        async def ready() -> bool:
            return (await self.get("/readiness")).status_code == 200

        await self.until(ready)

    async def end(self) -> None:
        """As SIGTERM does; returns when the last change is written."""
        self.stop.set()
        with trio.fail_after(PATIENCE_S):
            await self.ended.wait()


@asynccontextmanager
async def serving(environ: Mapping[str, str], *, ready: bool = True) -> AsyncIterator[Server]:
    """A server with these settings; waited for until it is ready, unless told otherwise, and cut
    off, as by kill -9, when the context is left."""
    config = load({**environ, "PARPARCHIK_SHUTDOWN_GRACE": str(GRACE_S)}).config
    process = Process()
    application = build_application(config, build_s3(config, environ), process)
    plane = build_plane(config.server, application, process)
    sockets = await listen(config.server, {})
    stop, ended = trio.Event(), trio.Event()

    async def answer() -> None:
        await answer_until(stop, plane, lambda: [application], sockets)
        ended.set()

    async with (
        trio.open_nursery() as nursery,
        httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=PATIENCE_S) as http,
    ):
        nursery.start_soon(application.run)
        nursery.start_soon(answer)
        server = Server(url_of(config.server, sockets[0]), http, stop, ended)
        if ready:
            await server.until_ready()
        yield server
        nursery.cancel_scope.cancel()
