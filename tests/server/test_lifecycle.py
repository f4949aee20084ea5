"""From listening to the last byte: the server on its real registry, before stores in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.config.model import BucketConfig, Config, Endpoint, RoutesConfig, S3Config
from parparchik.errors import Unavailable
from parparchik.model import Bucket, ListedObject, ListPage, Method, ObjectHead, StoredObject
from parparchik.registry import Service
from parparchik.s3 import S3Client
from parparchik.s3.credentials import CredentialStores
from parparchik.server.progress import LOG_EVERY_S, report_progress
from parparchik.server.serve import answer_until
from parparchik.server.supervise import Supervisor
from parparchik.server.wire import S3, Application, build_application

if TYPE_CHECKING:
    from tests.server.conftest import Logged

BUCKET = Bucket("photos", public=True)
MANIFEST = BUCKET.manifest_key
GRACE_S = 20.0


@dataclass
class MemoryStore:
    """A bucket in memory. `gate`, where set, holds up every HEAD; `down` makes S3 fail."""

    bucket: Bucket
    objects: dict[str, bytes] = field(default_factory=dict)
    gate: trio.Event | None = None
    down: bool = False

    def _head(self, key: str) -> ObjectHead | None:
        if self.down:
            raise Unavailable("S3 is away")
        if key not in self.objects:
            return None
        etag = hashlib.md5(self.objects[key]).hexdigest()
        return ObjectHead(len(self.objects[key]), 1_000, f'"{etag}"')

    async def head(self, key: str) -> ObjectHead | None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None and not self.bucket.reserves(key):
            await self.gate.wait()
        return self._head(key)

    async def get(self, key: str) -> StoredObject | None:
        await trio.lowlevel.checkpoint()
        head = self._head(key)
        return None if head is None else StoredObject(self.objects[key], head)

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        await trio.lowlevel.checkpoint()
        self._head(key)
        self.objects[key] = b"".join(pieces)
        return '"etag"'

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        heads = {key: self._head(key) for key in sorted(self.objects)}
        return ListPage([ListedObject(key, head) for key, head in heads.items() if head], None)

    def public_url(self, key: str) -> str:
        return f"http://s3.test/{self.bucket.name}/{key}"

    def presign(self, method: Method, key: str, *, expires_s: int) -> str:
        return f"{self.public_url(key)}?signed"


@dataclass
class Process:
    """A server between start and end. `stop` is what a signal sets."""

    application: Application
    store: MemoryStore
    url: str
    stop: trio.Event
    ended: trio.Event
    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(self.url + path)


@asynccontextmanager
async def running(
    store: MemoryStore, *, routes: RoutesConfig | None = None
) -> AsyncIterator[Process]:
    """Background tasks, sockets and all; ended when the context is left."""
    config = Config(
        buckets=(BucketConfig(store.bucket, Endpoint()),), routes=routes or RoutesConfig()
    )
    client = S3Client(S3Config())
    s3 = S3(client, (store,), CredentialStores({}, client.http))
    supervisor = Supervisor()
    application = build_application(config, s3, supervisor)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stop, ended = trio.Event(), trio.Event()

    async def run() -> None:
        await answer_until(stop, application, listeners, GRACE_S)
        ended.set()

    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as http:
        for name, task in application.tasks:
            nursery.start_soon(partial(supervisor.run, name, task))
        nursery.start_soon(run)
        port = listeners[0].socket.getsockname()[1]
        yield Process(application, store, f"http://127.0.0.1:{port}", stop, ended, http)
        nursery.cancel_scope.cancel()


async def until_ready(process: Process) -> None:
    with trio.fail_after(10):
        while (await process.get("/readiness")).status_code != 200:  # noqa: ASYNC110  by HTTP
            await trio.sleep(0.01)


async def test_from_start_to_ready_to_redirect(logged: Logged) -> None:
    async with running(MemoryStore(BUCKET, {"cat.jpg": b"meow"})) as process:
        await until_ready(process)
        reply = await process.get("/photos/cat.jpg")
        assert reply.status_code == 302
        assert reply.headers["location"] == "http://s3.test/photos/cat.jpg"
        assert (await process.get("/list")).json()["files"][0]["key"] == "cat.jpg"
        assert MANIFEST in process.store.objects
        assert (
            'parparchik_volume_files{volume="photos"} 1.0' in (await process.get("/metrics")).text
        )


async def test_while_s3_is_away_the_process_lives_and_is_not_ready(logged: Logged) -> None:
    store = MemoryStore(BUCKET, {"cat.jpg": b"meow"}, down=True)
    async with running(store) as process:
        assert (await process.get("/healthcheck")).status_code == 200
        probe = await process.get("/readiness")
        assert (probe.status_code, probe.json()["ready"]) == (503, False)
        assert probe.json()["reason"]
        assert (await process.get("/photos/cat.jpg")).status_code == 503
        store.down = False
        await until_ready(process)


async def test_requests_under_way_are_finished_and_nothing_new_is_accepted(
    logged: Logged,
) -> None:
    async with running(MemoryStore(BUCKET, {"cat.jpg": b"meow"})) as process:
        await until_ready(process)
        process.store.gate = trio.Event()
        replies = []

        async def slow() -> None:
            replies.append(await process.get("/photos/new.jpg"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)
            await wait_all_tasks_blocked()
            process.store.objects["new.jpg"] = b"new"
            process.stop.set()
            await wait_all_tasks_blocked()
            assert process.application.readiness.reason() == "shutting down"
            assert not process.ended.is_set()
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient(trust_env=False).get(process.url + "/healthcheck")
            process.store.gate.set()
        assert replies[0].status_code == 302
        with trio.fail_after(5):
            await process.ended.wait()
        assert b"new.jpg" in process.store.objects[MANIFEST]


async def test_probes_on_a_kept_connection_see_the_end_coming(logged: Logged) -> None:
    async with running(MemoryStore(BUCKET)) as process:
        await until_ready(process)
        process.application.readiness.stop()
        probe = await process.get("/readiness")
        assert (probe.status_code, probe.json()["reason"]) == (503, "shutting down")
        assert (await process.get("/healthcheck")).status_code == 200


async def test_what_takes_longer_than_the_grace_is_cut(
    logged: Logged, autojump_clock: MockClock
) -> None:
    async with running(MemoryStore(BUCKET, {"cat.jpg": b"meow"})) as process:
        await until_ready(process)
        process.store.gate = trio.Event()
        host, _, port = process.url.removeprefix("http://").partition(":")
        stuck = await trio.open_tcp_stream(host, int(port))
        await stuck.send_all(b"GET /photos/never HTTP/1.1\r\nHost: t\r\n\r\n")
        await trio.sleep(1)
        began = trio.current_time()
        process.stop.set()
        await process.ended.wait()
        assert trio.current_time() - began == pytest.approx(GRACE_S, abs=1)
        assert logged.named("connections cut")[0]["count"] == 1
        await stuck.aclose()


async def test_the_last_change_is_written_within_the_window(logged: Logged) -> None:
    routes = RoutesConfig(manifest_window_s=3600)
    async with running(MemoryStore(BUCKET, {"cat.jpg": b"meow"}), routes=routes) as process:
        await until_ready(process)
        process.store.objects["new.jpg"] = b"new"
        assert (await process.get("/photos/new.jpg")).status_code == 302
        assert b"new.jpg" not in process.store.objects[MANIFEST]
        process.stop.set()
        with trio.fail_after(5):
            await process.ended.wait()
        assert b"new.jpg" in process.store.objects[MANIFEST]


async def test_a_last_change_that_cannot_be_written_is_reported_and_the_process_ends(
    logged: Logged,
) -> None:
    routes = RoutesConfig(manifest_window_s=3600)
    async with running(MemoryStore(BUCKET, {"cat.jpg": b"meow"}), routes=routes) as process:
        await until_ready(process)
        process.store.objects["new.jpg"] = b"new"
        assert (await process.get("/photos/new.jpg")).status_code == 302
        process.store.down = True
        process.stop.set()
        with trio.fail_after(5):
            await process.ended.wait()
        assert "S3 is away" in logged.named("last change not in the manifests")[0]["reason"]


async def test_a_start_that_takes_long_is_logged_every_few_seconds(
    logged: Logged, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service([MemoryStore(BUCKET)], RoutesConfig())
    service.progress.begin("reconciling", 10)
    service.progress.advance(3)
    nursery.start_soon(report_progress, service, None)
    await trio.sleep(2.5 * LOG_EVERY_S)
    lines = logged.named("start-up")
    assert [(line["phase"], line["done"], line["total"]) for line in lines] == [
        ("reconciling", 3, 10)
    ] * 2
    service.ready = True
    await trio.sleep(5 * LOG_EVERY_S)
    assert len(logged.named("start-up")) == 2


async def test_whoever_has_a_screen_is_told_more_often_and_the_log_is_not(
    logged: Logged, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service([MemoryStore(BUCKET)], RoutesConfig())
    service.progress.begin("listing")
    shown: list[tuple[str, int, int]] = []
    nursery.start_soon(report_progress, service, lambda *step: shown.append(step))
    await trio.sleep(1)
    assert len(shown) > 5
    assert shown[0] == ("listing", 0, 0)
    assert logged.events == []
    service.ready = True
