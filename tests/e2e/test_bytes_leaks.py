"""Clients that begin and leave, over every way to the planes: nothing is left of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from parparchik.cache import ObjectCache, Policy
from parparchik.config.model import AuthConfig, CacheConfig, ObjectsConfig
from parparchik.delivery import Deliverer
from parparchik.objects import Gateway
from parparchik.routes import Authenticator
from parparchik.web import Place
from tests.e2e.byte_clients import HTTP_1, fields_of, http_1, http_2
from tests.e2e.hostile import Planes, both_planes
from tests.fakes_bytes import BytesAsked, FakeBytes

MEBI = 1 << 20
LARGE = random.Random(1).randbytes(24 * MEBI)
TARGETS = ("/objects/bulk/large", "/objects/bulk/passing", "/objects/bulk/text")
CONFIG = CacheConfig(memory_bytes=8 * MEBI, slice_bytes=MEBI, max_fills=8)


@dataclass
class World:
    planes: Planes
    bucket: FakeBytes
    cache: ObjectCache
    gateway: Gateway

    def readers(self) -> int:
        entries = list(self.cache._memory.entries.values())
        return sum(len(each.generation.readers) for each in entries if each.generation)

    async def until_nothing_is_left(self, tasks: int) -> None:
        with trio.fail_after(30):
            while (  # noqa: ASYNC110  what is forgotten rings no bell
                self.readers()
                or self.bucket.reading
                or self.gateway.statistics().bodies
                or trio.lowlevel.current_statistics().tasks_living > tasks
            ):
                await trio.sleep(0.05)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for module in ("fill", "passage"):
        monkeypatch.setattr(f"parparchik.cache.{module}.PATIENCE_S", 0.3)
    bucket = FakeBytes("bulk")
    bucket.put("large", LARGE)
    bucket.put("passing", LARGE, headers=(("cache-control", "no-store"),))
    bucket.put("text", LARGE[: 2 * MEBI].hex().encode(), content_type="text/plain")
    cache = ObjectCache(CONFIG, {"bulk": bucket})
    gateway = Gateway(
        ObjectsConfig((("bulk", "all"),), max_uploads=16),
        {"bulk": bucket},
        cache,
        Deliverer(cache, compress_max_bytes=CONFIG.compress_max_bytes),
        policy=Policy(),
        authenticator=Authenticator(AuthConfig()),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.run)
        async with both_planes(tmp_path, [Place("", "/objects/", gateway)]) as planes:
            yield World(planes, bucket, cache, gateway)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", HTTP_1)
async def test_clients_that_leave_at_any_moment(world: World, way: str) -> None:
    made = random.Random(way)
    async with http_1(world.planes, way) as first:
        await first.send("GET", "/objects/bulk/no")
        await first.answer("GET")
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def attack(number: int) -> None:
        async with http_1(world.planes, way) as client:
            fields = {b"Range": b"bytes=%d-" % made.randrange(len(LARGE)), b"X": b"y"}
            fields[b"Accept-Encoding"] = made.choice((b"gzip", b""))
            name = made.choice(list(fields))
            await client.send("GET", made.choice(TARGETS), ((name, fields[name]),))
            if number % 3:
                await client.head()
            with trio.move_on_after(0.2):  # a 416 has no body
                if number % 3 == 2:
                    await client.more()

    async with trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(attack, number)
    await world.until_nothing_is_left(tasks)
    async with http_1(world.planes, way) as last:
        await last.send("GET", "/objects/bulk/large")
        assert (await last.answer("GET")).body == LARGE


@pytest.mark.parametrize("at_once", [True, False])
async def test_streams_that_are_reset(world: World, at_once: bool) -> None:
    """Rapidly, before anything has come of them, or amid their bodies."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(4):
        async with http_2(world.planes) as client:
            for number in range(40):
                stream = client.begin(fields_of("GET", TARGETS[number % 3]))
                if not at_once:
                    await client.flush()
                    while not client.closed and not client.answers[stream].status:
                        await client.receive()
                if client.closed:
                    break
                client.h2.reset_stream(stream)
            try:
                await client.flush()
            except trio.BrokenResourceError:
                continue
    await world.until_nothing_is_left(tasks)


async def test_a_window_of_nothing(world: World) -> None:
    """Streams that are asked for and not taken hold what a connection may hold, and no more."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with http_2(world.planes) as client:
        client.h2.update_settings({4: 0})  # SETTINGS_INITIAL_WINDOW_SIZE
        await client.flush()
        for number in range(50):
            client.begin(fields_of("GET", TARGETS[number % 3]))
        await client.flush()
        await trio.sleep(0.3)
        async with http_2(world.planes) as other:
            other.takes = True
            number = other.begin(fields_of("GET", "/objects/bulk/large"))
            await other.flush()
            assert (await other.answer(number)).body == LARGE
    await world.until_nothing_is_left(tasks)


@pytest.mark.parametrize("way", [*HTTP_1, "h2"])
async def test_uploads_that_break_off(world: World, way: str) -> None:
    made = random.Random(way)
    tasks = trio.lowlevel.current_statistics().tasks_living
    size = (b"Content-Length", b"%d" % (20 * MEBI))

    async def attack(number: int) -> None:
        sent = bytes(made.randrange(1, 300_000))
        target = f"/objects/bulk/new{number}"
        if way != "h2":
            async with http_1(world.planes, way) as client:
                await client.send("PUT", target, (size,))
                await client.stream.send_all(sent)
            return
        async with http_2(world.planes) as h2:
            stream = h2.begin(fields_of("PUT", target, (size,)), end_stream=False)
            h2.h2.send_data(stream, sent[:16_000])
            if number % 2:
                h2.h2.reset_stream(stream)
            await h2.flush()

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(attack, number)
    await world.until_nothing_is_left(tasks)
    assert not [key for key in world.bucket.objects if key.startswith("new")]


async def test_an_s3_that_hangs_holds_nobody_for_ever(world: World) -> None:
    """Clients leave, and with them what waited for it."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    go_on = trio.Event()

    async def hang(point: str, asked: BytesAsked) -> None:
        if point == "reading":
            await go_on.wait()

    world.bucket.at = hang
    for _ in range(30):
        async with http_1(world.planes, "edge") as client:
            await client.send("GET", "/objects/bulk/large")
        async with http_2(world.planes) as h2:
            h2.begin(fields_of("GET", "/objects/bulk/passing"))
            await h2.flush()
    with trio.fail_after(20):
        while world.readers():  # noqa: ASYNC110  as above
            await trio.sleep(0.05)
    go_on.set()
    await world.until_nothing_is_left(tasks)
