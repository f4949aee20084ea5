"""The one task that waits for S3 on behalf of all: what becomes of those who wait when one of them
misbehaves, when the task ends, and when it is started again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from parparchik.model import ObjectHead, Unfinished
from parparchik.s3 import Credentials, S3Bucket, S3Client
from parparchik.s3.connect import connect
from parparchik.s3.connection import Connection, PlainConnection
from parparchik.s3.reactor import Reactor
from tests.s3.fake_s3 import KEYS, OBJECT, QUICK, answer, config_of, error
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

PRESENT = ObjectHead(4, 1777975200, '"0123"')
Told = ObjectHead | Unfinished[ObjectHead | None]


def present(_seen: Seen) -> bytes:
    return answer(200, OBJECT, b"body", to_head=True)


class Held:
    """A server that answers the first HEAD of each connection at once and others when told."""

    def __init__(self) -> None:
        self.go = trio.Event()

    async def __call__(self, peer: Peer) -> None:
        first = True
        while seen := await peer.request():
            if not first:
                await self.go.wait()
            first = False
            await peer.send(present(seen))


async def open_connections(bucket: S3Bucket, count: int) -> None:
    """`count` connections that lie ready."""
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(bucket.head, f"first-{number}")


@asynccontextmanager
async def running(client: S3Client) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        yield
        nursery.cancel_scope.cancel()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_who_raises_harms_nobody_else(
    nursery: trio.Nursery,
) -> None:
    held = Held()
    server: ScriptedServer = await nursery.start(serve, held)
    client = S3Client(QUICK)
    bucket = client.bucket(config_of(server), lambda: KEYS)
    told: list[Told] = []

    def misbehave(_outcome: Told) -> None:
        raise ZeroDivisionError

    async with running(client):
        await open_connections(bucket, 3)
        assert bucket.head_soon("a", told.append)
        assert bucket.head_soon("b", misbehave)
        assert bucket.head_soon("c", told.append)
        held.go.set()
        await settle()
        assert told == [PRESENT] * 2
        assert await bucket.head("d") == PRESENT
    [(_, pool)] = client.statistics().pools
    assert pool.open == 0


async def test_who_raises_at_a_time_out_or_the_end_harms_nobody_else(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, Held())
    client = S3Client(replace(QUICK, probe_timeout_s=0.2))
    bucket = client.bucket(config_of(server), lambda: KEYS)
    told: list[Told] = []

    def misbehave(_outcome: Told) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        async with running(client):
            await open_connections(bucket, 2)
            assert bucket.head_soon("a", misbehave)
            assert bucket.head_soon("b", told.append), "also when it runs again"
            if not told:  # else the end comes before the time-out
                with trio.fail_after(5):
                    while not told:  # noqa: ASYNC110  the reactor sweeps when it does
                        await trio.sleep(0.01)
    assert len(told) == 2
    assert all(isinstance(each, Unfinished) for each in told)


async def test_a_reactor_that_is_started_again_serves_kept_connections(
    nursery: trio.Nursery, tls: ssl.SSLContext
) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(present))
    reactor = Reactor()
    connection = await connect(server.origin, tls, 5)

    class Waiting:
        deadline_s = float("inf")

        def __init__(self, connection: Connection) -> None:
            self.stopped = False
            self.got = b""
            self._connection = connection
            self.fd = reactor.wait(connection, self)

        def on_readable(self) -> None:
            self.got += self._connection.receive_nowait() or b""

        def on_timeout(self) -> None:
            raise AssertionError

        def on_stop(self) -> None:
            self.stopped = True

    request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(2):
        async with trio.open_nursery() as inner:
            await inner.start(reactor.run)
            waiting = Waiting(connection)
            assert connection.send_nowait(request)
            await settle()
            assert waiting.got.startswith(b"HTTP/1.1 200")
            assert not waiting.stopped
            inner.cancel_scope.cancel()
        assert waiting.stopped
        assert not reactor.running
    connection.close()


async def test_under_way_when_the_client_stops_ends_and_goes_on_when_it_runs_again(
    nursery: trio.Nursery,
) -> None:
    """As when its task has crashed and is started again: nobody hangs, in a task or without."""
    held = Held()
    server: ScriptedServer = await nursery.start(serve, held)
    client = S3Client(QUICK)
    bucket = client.bucket(config_of(server), lambda: KEYS)
    told: list[Told] = []
    heads: list[ObjectHead | None] = []

    async def ask(key: str) -> None:
        heads.append(await bucket.head(key))

    async with trio.open_nursery() as asking:
        async with running(client):
            await open_connections(bucket, 2)
            assert bucket.head_soon("a", told.append)
            asking.start_soon(ask, "b")
            await settle()
            assert not heads
        [unfinished] = told
        assert isinstance(unfinished, Unfinished)
        async with running(client):
            with trio.fail_after(5):
                assert await unfinished.finish() == PRESENT
    assert heads == [PRESENT]


async def test_more_heads_than_connections(nursery: trio.Nursery) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(present))
    client = S3Client(replace(QUICK, max_connections=2))
    bucket = client.bucket(config_of(server), lambda: KEYS)
    told: list[Told] = []
    left_over = 0

    async def ask() -> None:
        assert await bucket.head("k") == PRESENT

    async with running(client):
        await open_connections(bucket, 2)
        async with trio.open_nursery() as asking:
            for _ in range(50):
                left_over += not bucket.head_soon("k", told.append)
                asking.start_soon(ask)
        await settle()
        assert len(told) + left_over == 50
        assert all(each == PRESENT for each in told)
        [(_, pool)] = client.statistics().pools
        assert (pool.open, pool.waiting) == (2, 0)
    assert server.connections == 2


async def test_credentials_that_change_under_way(nursery: trio.Nursery) -> None:
    """S3 refuses what was signed with the old ones; the same HEAD is signed with the new ones."""
    current = [KEYS]

    def reply(seen: Seen) -> bytes:
        if "Credential=NEW/" in seen.headers["authorization"] or accepts_old[0]:
            return present(seen) if seen.method == "HEAD" else answer(206, OBJECT, b"b")
        return error(seen, 403, "ExpiredToken")

    accepts_old = [True]
    server: ScriptedServer = await nursery.start(serve, replying(reply))
    client = S3Client(QUICK)
    bucket = client.bucket(config_of(server), lambda: current[0])
    told: list[Told] = []
    async with running(client):
        assert await bucket.head("k") == PRESENT
        accepts_old[0] = False
        assert bucket.head_soon("k", told.append)
        current[0] = Credentials("NEW", "secret")
        await settle()
        [unfinished] = told
        assert isinstance(unfinished, Unfinished)
        assert await unfinished.finish() == PRESENT
        told.clear()
        assert bucket.head_soon("k", told.append)
        await settle()
        assert told == [PRESENT]


@pytest.mark.parametrize("jump_s", [-1e6, -1, 1e6])
async def test_a_clock_that_jumps_costs_a_signature(nursery: trio.Nursery, jump_s: float) -> None:
    server: ScriptedServer = await nursery.start(serve, replying(present))
    now_s = [1_770_000_000.0]
    client = S3Client(QUICK, now=lambda: now_s[0])
    bucket = client.bucket(config_of(server), lambda: KEYS)
    told: list[Told] = []
    async with running(client):
        await bucket.head("k")
        for expected in (1, 2):
            assert bucket.head_soon("k", told.append)
            await settle()
            assert len(told) == expected
            now_s[0] += jump_s
        assert told[0] is told[1], "what S3 said is the same, whenever it was signed for"
    first, second, third = (seen.headers["x-amz-date"] for seen in server.requests)
    assert first == second != third


async def test_who_raises_does_not_wait_any_longer(nursery: trio.Nursery) -> None:
    reactor = Reactor()
    await nursery.start(reactor.run)
    ours, peer = socket.socketpair()
    connection = PlainConnection(ours)
    calls: list[str] = []

    class Raising:
        deadline_s = float("inf")

        def on_readable(self) -> None:
            calls.append("readable")
            raise ZeroDivisionError

        def on_timeout(self) -> None:
            raise AssertionError

        def on_stop(self) -> None:
            calls.append("stop")
            raise ZeroDivisionError

    reactor.wait(connection, Raising())
    for _ in range(2):
        peer.send(b"x")
        await settle()
    assert calls == ["readable", "stop"]
    connection.close()
    peer.close()


async def test_who_is_patient_does_not_hold_up_who_is_not(nursery: trio.Nursery) -> None:
    reactor = Reactor()
    await nursery.start(reactor.run)
    pairs = [socket.socketpair() for _ in range(3)]
    connections = [PlainConnection(ours) for ours, _ in pairs]
    late: list[float] = []
    done = trio.Event()

    class Waiting:
        def __init__(self, connection: Connection, deadline_s: float) -> None:
            self.deadline_s = deadline_s
            self._fd = reactor.wait(connection, self)

        def on_readable(self) -> None:
            raise AssertionError

        def on_timeout(self) -> None:
            reactor.forget(self._fd)
            late.append(self.deadline_s)
            if len(late) == 2:
                done.set()

        def on_stop(self) -> None:
            assert self.deadline_s == float("inf")

    now_s = trio.current_time()
    for connection, deadline_s in zip(
        connections, (float("inf"), now_s + 0.01, now_s), strict=True
    ):
        Waiting(connection, deadline_s)
    with trio.fail_after(5):
        await done.wait()
    assert sorted(late) == [now_s, now_s + 0.01]
    for (_, peer), connection in zip(pairs, connections, strict=True):
        peer.close()
        connection.close()
