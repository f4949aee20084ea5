"""A Redis server that ends, hangs, or loses its connections."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest
import trio

from parparchik.dedup import redis_server
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.types import File
from parparchik.errors import ClaimLost, MetadataUnavailable
from tests.dedup.metadata_scene import KEYS, NOW, blob_at, claim, listed, put
from tests.dedup.redis_process import PATIENCE_S
from tests.dedup.redis_scene import UNCLOSED, Started, opened, until

pytestmark = UNCLOSED

# -- a server that ends -------------------------------------------------------------------------


async def test_what_was_acknowledged_is_kept_when_the_server_is_killed(started: Started) -> None:
    server = started("--appendfsync", "always")
    async with opened(server) as metadata:
        acknowledged: list[str] = []

        async def put_some(name: str) -> None:
            for number in range(100):
                path = f"{name}/{number}"
                try:
                    await put(metadata, path, 1, path)
                except (MetadataUnavailable, ClaimLost):
                    return
                acknowledged.append(path)
                if len(acknowledged) == 120:
                    server.kill()

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(put_some, name)
        server.start()
        kept = await listed(metadata)
        assert set(acknowledged) <= set(kept)
        assert len(kept) <= len(acknowledged) + 4  # those whose answer got lost
        totals = await metadata.totals()
        assert (totals.files, totals.blobs, totals.orphans) == (len(kept), len(kept), 0)
        assert totals.logical_bytes == sum(len(path) for path in kept)


async def test_a_server_that_is_away_and_comes_back(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        held = await claim(metadata, "y")
        server.kill()
        for _ in range(3):
            with pytest.raises(MetadataUnavailable, match="the place cannot be reached"):
                await metadata.get("a")
        with pytest.raises(MetadataUnavailable):
            await listed(metadata)
        with pytest.raises(MetadataUnavailable):
            await metadata.check()
        with pytest.raises(MetadataUnavailable):
            await metadata.put("b", 1, blob_at(held, "y"), held, now_s=NOW)
        server.start()
        assert await metadata.get("a") is not None
        assert (await metadata.put("b", 1, blob_at(held, "y"), held, now_s=NOW)).done
        assert await listed(metadata) == ["a", "b"]


async def test_a_restart_between_two_reads_is_not_noticed(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        for _ in range(5):
            server.kill()
            server.start()
            assert await listed(metadata) == ["a"]


async def test_a_server_that_comes_after_us(started: Started) -> None:
    server = started()
    server.kill()
    async with opened(server) as metadata:
        with pytest.raises(MetadataUnavailable):
            await metadata.check()
        server.start()
        await metadata.check()


async def test_scripts_that_the_server_forgot(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        server.ask("SCRIPT", "FLUSH")
        assert await put(metadata, "a", 2, "y")
        assert await listed(metadata) == ["a"]


# -- one that does not answer, or not well --------------------------------------------------------


async def test_a_server_that_hangs(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "ANSWER_S", 0.3)
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(MetadataUnavailable, match="does not answer in time"):
            await metadata.get("a")
        with trio.move_on_after(0.05) as gone:  # who does not want to wait need not
            await metadata.get("a")
        assert gone.cancelled_caught
        server.process.send_signal(signal.SIGCONT)
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    assert await metadata.get("a") is not None
                except MetadataUnavailable:
                    continue
                break


async def test_many_who_give_up_while_it_connects_take_no_place_for_good(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "CONNECT_S", 0.3)
    server = started()
    server.kill()
    async with opened(server) as metadata:
        with full_listener(server.port):
            for _ in range(70):  # more than there are places in the pool
                with trio.move_on_after(0.005) as scope:
                    await metadata.get("a")
                assert scope.cancelled_caught
        server.start()
        with trio.fail_after(PATIENCE_S / 2):
            while True:
                with suppress(MetadataUnavailable):
                    assert await metadata.get("a") is None
                    break


@contextmanager
def full_listener(port: int) -> Iterator[None]:
    """Nobody's connection is answered there, nor refused."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield


async def test_a_read_whose_connection_breaks_is_made_again(started: Started) -> None:
    server = started()
    found: list[File | None] = []
    async with opened(server) as metadata, trio.open_nursery() as nursery:
        await put(metadata, "a", 1, "x")

        async def get() -> None:
            found.append(await metadata.get("a"))

        server.ask("CLIENT", "PAUSE", "60000", "WRITE")  # and scripts, which may write
        nursery.start_soon(get)
        await until(lambda: "blocked_clients:1" in server.ask("INFO", "clients"))
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        server.ask("CLIENT", "UNPAUSE")
    assert [file.path for file in found if file] == ["a"]


class Relay:
    """Connections to a server, which go on and carry nothing once they are `deaf`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.deaf: set[trio.SocketStream] = set()
        self.carried: set[trio.SocketStream] = set()

    async def serve(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.carried.add(client)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self.carry, client, client, server)
            await self.carry(client, server, client)
            nursery.cancel_scope.cancel()

    async def carry(
        self, of: trio.SocketStream, source: trio.SocketStream, sink: trio.SocketStream
    ) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in source:
                if of not in self.deaf:
                    await sink.send_all(data)


async def test_a_connection_that_nothing_comes_through_is_given_up(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "ANSWER_S", 0.5)
    server = started()
    relay = Relay(server.port)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        async with RedisMetadata.open(f"redis://127.0.0.1:{port}", "the place", KEYS) as metadata:
            await put(metadata, "a", 1, "x")
            relay.deaf |= relay.carried
            with pytest.raises(MetadataUnavailable, match="does not answer in time"):
                await metadata.get("a")
            assert await metadata.get("a") is not None
        nursery.cancel_scope.cancel()
