"""From listening to the last byte: the server on its real registry, before stores in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    Config,
    Endpoint,
    RoutesConfig,
    S3Config,
    ServerConfig,
)
from parparchik.model import Bucket, ObjectHead
from parparchik.registry import Service
from parparchik.s3 import S3Client
from parparchik.s3.credentials import CredentialStores
from parparchik.server.listen import listen
from parparchik.server.progress import LOG_EVERY_S, report_progress
from parparchik.server.s3_rooms import S3
from parparchik.server.serve import answer_until
from parparchik.server.wire import Application, build_application, build_plane
from parparchik.server.wire import Process as WholeProcess
from tests.fakes import FakeBucket
from tests.plain_http import NO_TLS
from tests.web.conftest import Connection

if TYPE_CHECKING:
    from tests.server.conftest import Logged

BUCKET = Bucket("photos", public=True)
GRACE_S = 20.0


class Store(FakeBucket):
    """`gate`, where set, holds up every HEAD of a file."""

    gate: trio.Event | None = None

    async def head(self, key: str) -> ObjectHead | None:
        if self.gate is not None and not self.bucket.reserves(key):
            await self.gate.wait()
        return await super().head(key)


@dataclass
class Process:
    """A server between start and end. `stop` is what a signal sets."""

    application: Application
    store: Store
    url: str
    stop: trio.Event
    ended: trio.Event
    client: httpx.AsyncClient

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(self.url + path, headers=headers)

    async def connect(self) -> Connection:
        return Connection(await trio.open_tcp_stream("127.0.0.1", self.port))


def config_of(
    *stores: Store,
    routes: RoutesConfig | None = None,
    auth: AuthConfig | None = None,
    server: ServerConfig | None = None,
) -> Config:
    return Config(
        buckets=tuple(BucketConfig(store.bucket, Endpoint()) for store in stores),
        routes=routes or RoutesConfig(),
        auth=auth or AuthConfig(),
        server=replace(
            server or ServerConfig(), host="127.0.0.1", port=0, shutdown_grace_s=GRACE_S
        ),
    )


@asynccontextmanager
async def running(
    *stores: Store,
    routes: RoutesConfig | None = None,
    auth: AuthConfig | None = None,
    server: ServerConfig | None = None,
) -> AsyncIterator[Process]:
    """Background tasks, sockets and all; ended when the context is left."""
    config = config_of(*stores, routes=routes, auth=auth, server=server)
    client = S3Client(S3Config())
    s3 = S3(client, stores, CredentialStores({}, client.http))
    process = WholeProcess()
    application = build_application(config, s3, process)
    plane = build_plane(config.server, application, process)
    sockets = await listen(config.server, {})
    stop, ended = trio.Event(), trio.Event()

    async def run() -> None:
        await answer_until(stop, plane, lambda: [application], sockets)
        ended.set()

    async with (
        trio.open_nursery() as nursery,
        httpx.AsyncClient(verify=NO_TLS, trust_env=False) as http,
    ):
        nursery.start_soon(application.run)
        nursery.start_soon(run)
        port = sockets[0].getsockname()[1]
        yield Process(application, stores[0], f"http://127.0.0.1:{port}", stop, ended, http)
        nursery.cancel_scope.cancel()


async def until_ready(process: Process) -> None:
    with trio.fail_after(10):
        while (await process.get("/readiness")).status_code != 200:  # noqa: ASYNC110  by HTTP
            await trio.sleep(0.01)


async def test_from_start_to_ready_to_redirect(logged: Logged) -> None:
    async with running(Store(BUCKET, "cat.jpg")) as process:
        await until_ready(process)
        reply = await process.get("/photos/cat.jpg")
        assert reply.status_code == 302
        assert reply.headers["location"] == "https://public.example/photos/cat.jpg"
        assert (await process.get("/list")).json()["files"][0]["key"] == "cat.jpg"
        assert process.store.manifest_keys == {"cat.jpg"}
        assert (
            'parparchik_volume_files{volume="photos"} 1.0' in (await process.get("/metrics")).text
        )


ODD_KEYS = {
    "a/b c.txt": "/photos/a/b%20c.txt",
    "/leading": "/photos//leading",
    "a//b": "/photos/a//b",
    "encoded/slash": "/photos/encoded%2Fslash",
    "100%": "/photos/100%25",
    "%2F": "/photos/%252F",
    "a+b": "/photos/a+b",
    "what?": "/photos/what%3F",
    "кот.png": "/photos/%D0%BA%D0%BE%D1%82.png",
    "trailing/": "/photos/trailing/",
}


async def test_every_odd_key_is_found_under_its_encoded_path(logged: Logged) -> None:
    async with running(Store(BUCKET, *ODD_KEYS)) as process:
        await until_ready(process)
        connection = await process.connect()
        async with connection.stream:
            for key, path in ODD_KEYS.items():
                for method in ("GET", "HEAD"):
                    reply = await connection.ask(method, path)
                    assert reply.status == 302
                    assert reply.header("location") == process.store.public_url(key)


@pytest.mark.parametrize("target", ["/photos/a%ff", "/photos/a%00b", "/photos/../b", "*"])
async def test_what_can_be_no_key_is_400_with_a_reason(logged: Logged, target: str) -> None:
    async with running(Store(BUCKET)) as process:
        connection = await process.connect()
        async with connection.stream:
            reply = await connection.ask("GET", target)
            assert reply.status == 400
            assert reply.json["error"]


async def test_private_files_need_a_key_and_public_ones_do_not(logged: Logged) -> None:
    stores = Store(BUCKET, "cat.jpg"), Store("vault", "deed.pdf")
    async with running(*stores, auth=AuthConfig(api_keys=("k1",))) as process:
        await until_ready(process)
        key = {"x-api-key": "k1"}
        assert (await process.get("/photos/cat.jpg")).status_code == 302
        refused = await process.get("/vault/deed.pdf")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await process.get("/vault/deed.pdf", **key)).status_code == 302
        # Permission follows the object, not the URL.
        assert (await process.get("/photos/deed.pdf")).status_code == 401
        assert (await process.get("/photos/deed.pdf", **key)).status_code == 302


async def test_while_s3_is_away_the_process_lives_and_is_not_ready(logged: Logged) -> None:
    store = Store(BUCKET, "cat.jpg")
    store.fail()
    async with running(store) as process:
        assert (await process.get("/healthcheck")).status_code == 200
        probe = await process.get("/readiness")
        assert (probe.status_code, probe.json()["ready"]) == (503, False)
        assert probe.json()["reason"]
        assert (await process.get("/photos/cat.jpg")).status_code == 503
        store.mend()
        await until_ready(process)


async def test_requests_under_way_are_finished_and_nothing_new_is_accepted(
    logged: Logged,
) -> None:
    async with running(Store(BUCKET, "cat.jpg")) as process:
        await until_ready(process)
        process.store.gate = trio.Event()
        replies = []

        async def slow() -> None:
            replies.append(await process.get("/photos/new.jpg"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)
            await wait_all_tasks_blocked()
            process.store.add("new.jpg")
            process.stop.set()
            await wait_all_tasks_blocked()
            assert process.application.readiness.reason() == "shutting down"
            assert not process.ended.is_set()
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient(verify=NO_TLS, trust_env=False).get(
                    process.url + "/healthcheck"
                )
            process.store.gate.set()
        assert replies[0].status_code == 302
        with trio.fail_after(5):
            await process.ended.wait()
        assert "new.jpg" in process.store.manifest_keys


async def test_probes_on_a_kept_connection_see_the_end_coming(logged: Logged) -> None:
    async with running(Store(BUCKET)) as process:
        await until_ready(process)
        process.application.readiness.stop()
        probe = await process.get("/readiness")
        assert (probe.status_code, probe.json()["reason"]) == (503, "shutting down")
        assert (await process.get("/healthcheck")).status_code == 200


async def test_what_takes_longer_than_the_grace_is_cut(
    logged: Logged, autojump_clock: MockClock
) -> None:
    async with running(Store(BUCKET, "cat.jpg")) as process:
        await until_ready(process)
        process.store.gate = trio.Event()
        stuck = await process.connect()
        await stuck.send(b"GET /photos/never HTTP/1.1\r\nHost: t\r\n\r\n")
        await trio.sleep(1)
        began = trio.current_time()
        process.stop.set()
        await process.ended.wait()
        assert trio.current_time() - began == pytest.approx(GRACE_S, abs=1)
        assert logged.named("connections cut")[0]["count"] == 1
        await stuck.stream.aclose()


async def test_the_last_change_is_written_within_the_window(logged: Logged) -> None:
    routes = RoutesConfig(manifest_window_s=3600)
    async with running(Store(BUCKET, "cat.jpg"), routes=routes) as process:
        await until_ready(process)
        process.store.add("new.jpg")
        assert (await process.get("/photos/new.jpg")).status_code == 302
        assert "new.jpg" not in process.store.manifest_keys
        process.stop.set()
        with trio.fail_after(5):
            await process.ended.wait()
        assert "new.jpg" in process.store.manifest_keys


async def test_a_last_change_that_cannot_be_written_is_reported_and_the_process_ends(
    logged: Logged,
) -> None:
    routes = RoutesConfig(manifest_window_s=3600)
    async with running(Store(BUCKET, "cat.jpg"), routes=routes) as process:
        await until_ready(process)
        process.store.add("new.jpg")
        assert (await process.get("/photos/new.jpg")).status_code == 302
        process.store.fail()
        process.stop.set()
        with trio.fail_after(5):
            await process.ended.wait()
        assert "S3 is away" in logged.named("last change not in the manifests")[0]["reason"]


async def test_a_start_that_takes_long_is_logged_every_few_seconds(
    logged: Logged, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service([Store(BUCKET)], RoutesConfig())
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
    service = Service([Store(BUCKET)], RoutesConfig())
    service.progress.begin("listing")
    shown: list[tuple[str, int, int]] = []
    nursery.start_soon(report_progress, service, lambda *step: shown.append(step))
    await trio.sleep(1)
    assert len(shown) > 5
    assert shown[0] == ("listing", 0, 0)
    assert logged.events == []
    service.ready = True


async def test_for_the_delay_only_readiness_says_that_it_ends(logged: Logged) -> None:
    delay = ServerConfig(shutdown_delay_s=1.0)
    async with running(Store(BUCKET, "cat.jpg"), server=delay) as process:
        await until_ready(process)
        process.stop.set()
        await wait_all_tasks_blocked()
        probe = await process.get("/readiness")
        assert (probe.status_code, probe.json()["reason"]) == (503, "shutting down")
        async with httpx.AsyncClient(verify=NO_TLS, trust_env=False) as newcomer:
            assert (await newcomer.get(process.url + "/photos/cat.jpg")).status_code == 302
        with trio.fail_after(10):
            await process.ended.wait()
