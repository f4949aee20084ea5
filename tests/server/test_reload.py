"""Settings that change while the server runs: what is learnt meanwhile, and what gives way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.config import Loaded
from parparchik.config.model import Config, RoutesConfig, S3Config
from parparchik.s3 import S3Client
from parparchik.s3.credentials import CredentialStores
from parparchik.server.listen import listen
from parparchik.server.reload import SAY_AFTER_S, Reloader
from parparchik.server.s3_rooms import S3
from parparchik.server.serve import answer_until
from parparchik.server.wire import Application, Process, build_application, build_plane
from tests.plain_http import NO_TLS
from tests.server.test_lifecycle import BUCKET, Store, config_of

if TYPE_CHECKING:
    from tests.server.conftest import Logged


@dataclass
class Server:
    """`stores` are those of the next application, `config` the settings that it reads."""

    config: Config
    stores: tuple[Store, ...]
    url: str = ""
    stop: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    built: list[Application] = field(default_factory=list)
    reloader: Reloader | None = None

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(verify=NO_TLS, trust_env=False) as client:
            return await client.get(self.url + path)

    @property
    def alive(self) -> tuple[Application, ...]:
        assert self.reloader is not None
        return self.reloader.alive

    async def begin_change(self, *stores: Store, verify_ttl_s: float) -> None:
        """Other settings, which are read now; returns when their application starts."""
        built = len(self.built)
        self.stores = stores
        routes = replace(self.config.routes, verify_ttl_s=verify_ttl_s)
        self.config = replace(self.config, routes=routes)
        assert self.reloader is not None
        self.reloader.ask()
        await until(lambda: len(self.built) > built)
        await wait_all_tasks_blocked()

    async def changed(self) -> None:
        await until(lambda: self.alive[-1] is self.built[-1])


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60):  # an S3 that was away is asked again after up to 15 s
        while not condition():  # noqa: ASYNC110  whoever changes it tells nobody
            await trio.sleep(0.01)


@asynccontextmanager
async def serving(*stores: Store) -> AsyncIterator[Server]:
    routes = RoutesConfig(manifest_window_s=3600)  # nothing is written but at the end
    server = Server(config_of(*stores, routes=routes), stores)
    process = Process()

    def build(config: Config) -> Application:
        client = S3Client(S3Config())
        s3 = S3(client, server.stores, CredentialStores({}, client.http))
        server.built.append(build_application(config, s3, process))
        return server.built[-1]

    application = build(server.config)
    plane = build_plane(server.config.server, application, process)
    sockets = await listen(server.config.server, {})
    server.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def run(reloader: Reloader) -> None:
        await answer_until(server.stop, plane, lambda: reloader.alive, sockets)
        server.ended.set()

    async with trio.open_nursery() as nursery:
        scope = await nursery.start(application.run)
        reloader = Reloader(
            *(application, scope, process, plane),
            reread=lambda: Loaded(server.config),
            build=build,
            environ={},
            nursery=nursery,
        )
        server.reloader = reloader
        nursery.start_soon(reloader.run, server.stop)
        nursery.start_soon(run, reloader)
        await application.until_ready()
        yield server
        nursery.cancel_scope.cancel()


async def end(server: Server) -> None:
    server.stop.set()
    with trio.fail_after(10):
        await server.ended.wait()


async def test_what_the_one_before_learns_last_is_written_too(
    logged: Logged, nursery: trio.Nursery
) -> None:
    store = Store(BUCKET, "cat.jpg")
    async with serving(store) as server:
        store.gate = trio.Event()
        replies: list[httpx.Response] = []

        async def slow() -> None:
            replies.append(await server.get("/photos/late.jpg"))

        nursery.start_soon(slow)
        await wait_all_tasks_blocked()
        successor = Store(BUCKET)  # the same bucket, not held up
        successor.objects = store.objects
        await server.begin_change(successor, verify_ttl_s=9)
        await server.changed()
        store.add("late.jpg")
        store.gate.set()
        await until(lambda: bool(replies))
        assert replies[0].status_code == 302
        assert "late.jpg" not in store.manifest_keys
        assert len(server.alive) == 2
        await end(server)
        assert "late.jpg" in store.manifest_keys


async def test_while_s3_is_away_the_running_one_goes_on_until_the_new_one_is_ready(
    logged: Logged,
) -> None:
    async with serving(Store(BUCKET, "cat.jpg")) as server:
        away = Store(BUCKET, "dog.jpg")
        away.fail()
        await server.begin_change(away, verify_ttl_s=9)
        assert (await server.get("/photos/cat.jpg")).status_code == 302
        assert (await server.get("/readiness")).status_code == 200
        away.mend()
        await server.changed()
        assert (await server.get("/photos/dog.jpg")).status_code == 302
        assert (await server.get("/readiness")).status_code == 200


async def test_a_later_reload_takes_the_place_of_one_that_waits(logged: Logged) -> None:
    async with serving(Store(BUCKET, "cat.jpg")) as server:
        away = Store(BUCKET, "dog.jpg")
        away.fail()
        await server.begin_change(away, verify_ttl_s=9)
        await server.begin_change(Store(BUCKET, "owl.jpg"), verify_ttl_s=10)
        await server.changed()
        assert server.built[1] not in server.alive
        asked = len(away.asked)
        await trio.sleep(1)
        assert len(away.asked) == asked
        assert (await server.get("/photos/owl.jpg")).status_code == 302
        assert (await server.get("/photos/dog.jpg")).status_code == 404


async def test_no_other_takes_over_when_the_process_ends(logged: Logged) -> None:
    store = Store(BUCKET, "cat.jpg")
    async with serving(store) as server:
        away = Store(BUCKET, "dog.jpg")
        away.fail()
        await server.begin_change(away, verify_ttl_s=9)
        store.add("new.jpg")
        assert (await server.get("/photos/new.jpg")).status_code == 302
        store.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.get, "/photos/slow.jpg")
            await wait_all_tasks_blocked()
            server.stop.set()
            await wait_all_tasks_blocked()
            away.mend()
            await trio.sleep(1)
            assert server.alive == (server.built[0],)
            assert [each.readiness.reason() for each in server.built] == ["shutting down"] * 2
            store.gate.set()
        await end(server)
        assert "new.jpg" in store.manifest_keys


async def test_what_fails_when_settings_are_read_ends_nothing(logged: Logged) -> None:
    async with serving(Store(BUCKET, "cat.jpg")) as server:
        server.stores = (None,)  # type: ignore[assignment]  # which no settings can say
        assert server.reloader is not None
        server.reloader.ask()
        await until(lambda: bool(logged.named("settings refused, the running ones stay")))
        assert (await server.get("/photos/cat.jpg")).status_code == 302


async def test_settings_that_are_the_same_change_nothing(logged: Logged) -> None:
    async with serving(Store(BUCKET, "cat.jpg")) as server:
        await server.begin_change(*server.stores, verify_ttl_s=server.config.routes.verify_ttl_s)
        assert server.alive == (server.built[0],)
        assert (await server.get("/photos/cat.jpg")).status_code == 302
        assert len(logged.named("settings unchanged")) == 1


async def test_new_settings_that_wait_are_told_of_ever_more_seldom(
    logged: Logged, capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    def told() -> list[str]:
        """By the log of the new settings, which is standard error's."""
        lines = capsys.readouterr().err.splitlines()
        return [line for line in lines if "the running settings are still in use" in line]

    # What is built in threads takes no time of this clock: it must not run ahead of them.
    autojump_clock.autojump_threshold = 0.02
    async with serving(Store(BUCKET, "cat.jpg")) as server:
        away = Store(BUCKET, "dog.jpg")
        away.fail()
        await server.begin_change(away, verify_ttl_s=9)
        await trio.sleep(8 * SAY_AFTER_S)
        lines = told()
        assert len(lines) == 3  # after 1, 3 and 7 times as long
        assert '"errors": {"photos": "S3 is away"}' in lines[0]
        away.mend()
        await server.changed()
        told()
        await trio.sleep(100 * SAY_AFTER_S)
        assert told() == []
