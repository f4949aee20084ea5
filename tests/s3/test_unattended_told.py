"""Small requests that no task waits for: when they begin, and who is told when time is up, the
transport ends, or another misbehaves."""

from __future__ import annotations

import errno
import socket

import structlog
import trio
import trio.testing

from parparchik.s3.connection import Connection, PlainConnection
from parparchik.s3.pool import Pool
from parparchik.s3.reactor import Reactor
from parparchik.s3.transport import Transport
from parparchik.s3.unattended import Errand
from tests.s3.errand_scene import (
    FINE,
    REQUEST,
    Errands,
    Opened,
    Told,
    after_first,
    never,
    running,
    silent,
)
from tests.s3.scripted import OK, Peer, ScriptedServer, serve


async def test_what_has_come_when_time_is_up_counts(nursery: trio.Nursery) -> None:
    """This process may have been held up, not S3."""
    ours, theirs = socket.socketpair()

    async def connect(_timeout_s: float) -> Connection:
        return PlainConnection(ours)

    pool = Pool(connect, max_connections=1, idle_timeout_s=15)
    reactor = Reactor()
    await nursery.start(reactor.run)
    told: list[Told] = []
    with theirs:
        errand = Errand(pool, await pool.acquire(), reactor, told.append)
        assert errand.begin(REQUEST, now_s=trio.current_time(), timeout_s=60)
        theirs.sendall(OK)
        errand.on_timeout()
        assert told == [FINE]
        assert pool.statistics().idle == 1
        pool.close()


async def test_a_connection_that_cannot_be_watched_is_closed() -> None:
    class Full(Reactor):
        def wait(self, connection: Connection, waiter: object) -> int:
            raise OSError(errno.ENOSPC, "no more watches")

    ours, theirs = socket.socketpair()

    async def connect(_timeout_s: float) -> Connection:
        return PlainConnection(ours)

    pool = Pool(connect, max_connections=1, idle_timeout_s=15)
    with theirs:
        errand = Errand(pool, await pool.acquire(), Full(), never)
        assert not errand.begin(REQUEST, now_s=trio.current_time(), timeout_s=60)
        assert pool.statistics().open == 0
        assert theirs.recv(1) == b""
        pool.close()


async def test_who_still_waits_when_the_transport_ends_is_told(
    nursery: trio.Nursery, transport: Transport
) -> None:
    server: ScriptedServer = await nursery.start(serve, after_first(silent))
    errands = Errands(transport, server)
    told: list[Told] = []
    for _ in range(2):  # it may run again
        async with running(transport):
            await errands.connect(3)
            assert all(errands.begin(told.append) for _ in range(3))
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert not told
        assert told == [None] * 3
        assert errands.pool == (0, 0)
        told.clear()


class TestNothingBegins:
    async def test_without_a_connection_that_lies_ready(self, opened: Opened) -> None:
        errands = await opened(after_first(silent))
        told: list[Told] = []
        assert errands.begin(told.append)
        assert not errands.begin(told.append)
        assert errands.pool == (1, 0)
        assert not told

    async def test_while_the_transport_does_not_run(
        self, nursery: trio.Nursery, transport: Transport
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, after_first(silent))
        errands = Errands(transport, server)
        await errands.connect()
        assert not errands.begin(never)
        assert errands.pool == (1, 1)
        async with running(transport):
            pass
        assert not errands.begin(never)
        assert errands.pool == (0, 0)

    async def test_on_a_connection_that_was_closed_meanwhile(self, opened: Opened) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)

        errands = await opened(script)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert not errands.begin(never)
        assert errands.pool == (0, 0)

    async def test_with_more_than_the_kernel_takes(self, opened: Opened) -> None:
        errands = await opened(after_first(silent))
        request = REQUEST.replace(b": 4", b": 99999999") + bytes(32 << 20)
        assert not errands.transport.send_soon(
            errands.server.origin, request, never, now_s=trio.current_time(), timeout_s=5
        )
        assert errands.pool == (0, 0)


async def test_who_raises_when_told_harms_nobody(opened: Opened) -> None:
    go = trio.Event()

    async def script(peer: Peer) -> None:
        await go.wait()
        await peer.send(OK)
        await peer.closed_by_client()

    errands = await opened(after_first(script), connections=3)
    told: list[Told] = []

    def misbehave(outcome: Told) -> None:
        told.append(outcome)
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logs:
        assert errands.begin(told.append)
        assert errands.begin(misbehave)
        assert errands.begin(told.append)
        go.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert told == [FINE] * 3
    assert [line["log_level"] for line in logs] == ["error"]
    assert errands.pool == (3, 3)


async def test_who_is_told_may_begin_the_next(opened: Opened) -> None:
    """The connection lies ready by then."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(OK)

    errands = await opened(script)
    told: list[Told] = []
    done = trio.Event()

    def then(outcome: Told) -> None:
        told.append(outcome)
        if len(told) == 50:
            done.set()
        else:
            assert errands.begin(then)

    assert errands.begin(then)
    with trio.fail_after(5):
        await done.wait()
    assert told == [FINE] * 50
    assert errands.server.connections == 1
    assert errands.pool == (1, 1)
