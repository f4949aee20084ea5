"""Small requests that no task waits for, over connections of a transport to a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trio.testing

from parparchik.errors import UpstreamError
from parparchik.s3.exchange import Timeouts
from parparchik.s3.limit import UNLIMITED
from parparchik.s3.response import Reply
from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, Script, ScriptedServer, pool_of, serve

REQUEST = b"PUT /k HTTP/1.1\r\nHost: s3\r\nContent-Length: 4\r\n\r\nbody"
FINE = Reply(200, {b"content-length": b"2"}, b"ok")

Told = Reply | UpstreamError | httpx.TransportError | None


@asynccontextmanager
async def running(transport: Transport) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run)
        yield
        nursery.cancel_scope.cancel()


class Errands:
    """To a server, over connections that lie ready."""

    def __init__(self, transport: Transport, server: ScriptedServer) -> None:
        self.transport = transport
        self.server = server

    async def connect(self, count: int = 1) -> None:
        timeouts = Timeouts(connect_s=5, read_s=5)
        async with trio.open_nursery() as nursery:

            async def one() -> None:
                body = await self.transport.send(
                    self.server.origin, REQUEST, timeouts, to_head=False, limit=UNLIMITED
                )
                assert await body.read() == b"ok"
                body.drop()

            for _ in range(count):
                nursery.start_soon(one)

    def begin(self, then: Callable[[Told], None], timeout_s: float = 5.0) -> bool:
        now_s = trio.current_time()
        return self.transport.send_soon(
            self.server.origin, REQUEST, then, now_s=now_s, timeout_s=timeout_s
        )

    async def send(self, timeout_s: float = 5.0) -> Told:
        told: list[Told] = []
        done = trio.Event()

        def then(outcome: Told) -> None:
            told.append(outcome)
            done.set()

        assert self.begin(then, timeout_s)
        assert not told, "not before the event loop has turned"
        with trio.fail_after(5):
            await done.wait()
        await trio.testing.wait_all_tasks_blocked()
        [outcome] = told
        return outcome

    @property
    def pool(self) -> tuple[int, int]:
        """Connections that are open, and those of them that lie ready."""
        pool = pool_of(self.transport, self.server)
        return pool.open, pool.idle


def after_first(then: Script) -> Script:
    """The first request on each connection is answered plainly; `then` has the connection when it
    has got the second, and it is closed after that."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if await peer.request():
            await then(peer)

    return script


async def silent(peer: Peer) -> None:
    await peer.closed_by_client()


class Opened:
    """Opens errands to servers of a script, with a connection that lies ready."""

    def __init__(self, nursery: trio.Nursery, transport: Transport) -> None:
        self._nursery = nursery
        self.transport = transport

    async def __call__(self, script: Script, connections: int = 1) -> Errands:
        server: ScriptedServer = await self._nursery.start(serve, script)
        errands = Errands(self.transport, server)
        await errands.connect(connections)
        assert errands.pool == (connections, connections)
        return errands


def never(_outcome: object) -> None:
    """For what does not begin."""
    pytest.fail("somebody was told although nothing had begun")
