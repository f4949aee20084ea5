"""Small requests, which go out in one, head and body: what is true of large ones is of them, too.

A kernel that takes only a part of one is a pair of sockets with little room between them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import trio
import trio.testing
import trustme

from parparchik.s3.addressing import Origin
from parparchik.s3.connection import Connection, PlainConnection
from parparchik.s3.exchange import Exchange, Timeouts, converse
from parparchik.s3.limit import UNLIMITED, TimeLimit
from parparchik.s3.pool import Pool
from parparchik.s3.reactor import Reactor
from parparchik.s3.request import SMALL_BYTES, PiecewiseBody, RequestBody, head_of
from parparchik.s3.response import ResponseParser
from parparchik.s3.tls import TlsConnection
from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, Script, ScriptedServer, answering, pool_of, serve

SMALL = bytes(range(256)) * 16
NO_FIT = b"0123456789" * 6_000
DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied"


class TestOverTcp:
    async def test_answered_byte_by_byte(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            while await peer.request():
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, step=1)

        server: ScriptedServer = await nursery.start(serve, script)
        for _ in range(3):
            assert (await client.put(server.url, content=SMALL)).text == "ok"
        assert [seen.body for seen in server.requests] == [SMALL] * 3
        assert server.connections == 1

    @pytest.mark.parametrize("closes", [False, True])
    async def test_answered_before_the_body_was_read(
        self, nursery: trio.Nursery, client: httpx.AsyncClient, closes: bool
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(DENIED, step=1)
            if closes:
                await peer.end_sending()
            await trio.sleep_forever()

        server: ScriptedServer = await nursery.start(serve, script)
        response = await client.put(server.url, content=SMALL)
        assert (response.status_code, response.text) == (403, "denied")

    async def test_a_kept_connection_that_is_reset_is_replaced(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        """The second request meets a server that goes away with most of it unread."""
        taken: list[int] = []

        async def handle(stream: trio.SocketStream) -> None:
            with trio.CancelScope() as gone:
                for number in range(2):
                    got = await stream.receive_some(1)
                    if number and not taken[1:]:
                        taken.append(0)
                        await trio.aclose_forcefully(stream)
                        gone.cancel()
                        return
                    while not got.endswith(SMALL):
                        got += await stream.receive_some()
                    taken.append(len(got))
                    await stream.send_all(OK)

        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        for _ in range(2):
            assert (await client.put(url, content=SMALL)).text == "ok"
        first, reset, again = taken
        assert (first, reset) == (again, 0)
        nursery.cancel_scope.cancel()

    async def test_no_answer(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.closed_by_client()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(httpx.ReadTimeout):
            await client.put(server.url, content=SMALL, timeout=httpx.Timeout(5, read=0.05))
        assert pool_of(transport, server).open == 0

    async def test_what_is_cancelled_already_is_not_sent(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, answering(OK))
        await client.put(server.url, content=b"first")  # leaves a connection that lies ready
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.put(server.url, content=b"unwanted")
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked(0.01)
        await client.put(server.url, content=b"last")
        assert [seen.body for seen in server.requests] == [b"first", b"last"]

    @pytest.mark.parametrize("announced", [len(SMALL) - 1, len(SMALL) + 1])
    async def test_a_body_that_is_not_as_long_as_announced(
        self, nursery: trio.Nursery, client: httpx.AsyncClient, announced: int
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, answering(OK))
        with pytest.raises(httpx.LocalProtocolError, match=str(announced)):
            await client.put(server.url, content=SMALL, headers={"Content-Length": str(announced)})
        assert server.requests == []


async def talk(
    pool: Pool,
    content: bytes | PiecewiseBody,
    *,
    write_s: float = 5.0,
    reactor: Reactor | None = None,
    limit: TimeLimit = UNLIMITED,
) -> ResponseParser:
    timeouts = Timeouts(5.0, 5.0, write_s, 5.0)
    body = PiecewiseBody([content]) if isinstance(content, bytes) else content
    headers = {"Host": "s3.example", "Content-Length": str(sum(map(len, body.pieces)))}
    request = httpx.Request("PUT", "http://s3.example/k", headers=headers, stream=body)
    whole = RequestBody(request).after(head_of(request))
    if whole is None:
        exchange = Exchange.of(request, timeouts, reactor)
    else:
        exchange = Exchange(whole, timeouts, reactor, limit=limit)
    connection, parser = await converse(
        pool, exchange.talk, to_head=False, may_repeat=lambda: True, timeouts=timeouts, limit=limit
    )
    if parser.reusable:
        pool.release(connection)
    else:
        pool.discard(connection)
    return parser


@pytest.mark.parametrize(
    ("content", "in_one"),
    [
        (SMALL, True),
        (PiecewiseBody([SMALL, bytearray(SMALL), memoryview(SMALL)]), True),
        (b"x" * SMALL_BYTES, True),
        (b"x" * (SMALL_BYTES + 1), False),
    ],
)
async def test_in_one(content: bytes | PiecewiseBody, in_one: bool) -> None:
    """Sockets that keep apart what was sent in one and in another."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    whole = content if isinstance(content, bytes) else b"".join(content.pieces)

    async def connect(_timeout_s: float) -> Connection:
        return PlainConnection(near)

    pool = Pool(connect, max_connections=1, idle_timeout_s=5.0)
    with trio.socket.from_stdlib_socket(far) as server:
        async with trio.open_nursery() as talking:
            talking.start_soon(talk, pool, content)
            head, end, body = (await server.recv(1 << 20)).partition(b"\r\n\r\n")
            assert head.startswith(b"PUT /k HTTP/1.1\r\n")
            assert end
            assert body == (whole if in_one else b"")
            while len(body) < len(whole):
                body += await server.recv(1 << 20)
            await server.send(OK)
    assert pool.statistics().idle == 1
    pool.close()


class Narrow:
    """A server, and the way to it: the kernel takes much less than a small request at a time."""

    def __init__(
        self, nursery: trio.Nursery, authority: trustme.CA | None, reactor: Reactor | None
    ) -> None:
        self.reactor = reactor
        self.server = ScriptedServer(Origin("http", "s3.example", 80))
        self._nursery = nursery
        self._authority = authority

    def pool(self, script: Script) -> Pool:
        return Pool(partial(self._connect, script), max_connections=4, idle_timeout_s=5.0)

    async def _connect(self, script: Script, _timeout_s: float) -> Connection:
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that it will do with
        self._nursery.start_soon(self._serve, script, far)
        plain = PlainConnection(near)
        if self._authority is None:
            return plain
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        secure = TlsConnection(plain, context, "127.0.0.1")
        await secure.handshake()
        return secure

    async def _serve(self, script: Script, far: socket.socket) -> None:
        stream: trio.abc.Stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
        if self._authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert("127.0.0.1").configure_cert(context)
            stream = trio.SSLStream(stream, context, server_side=True)
        self.server.connections += 1
        try:
            await script(Peer(stream, self.server.connections - 1, self.server))
        except trio.BrokenResourceError:
            pass  # the client went away
        finally:
            await trio.aclose_forcefully(stream)


@pytest.fixture(params=["plain", "tls", "plain, reactor", "tls, reactor"])
async def narrow(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Narrow]:
    reactor = None
    if "reactor" in request.param:
        reactor = Reactor()
        await nursery.start(reactor.run)
    yield Narrow(nursery, trustme.CA() if "tls" in request.param else None, reactor)
    nursery.cancel_scope.cancel()


class TestTheKernelTakesOnlyAPart:
    async def test_the_rest_follows(self, narrow: Narrow) -> None:
        pool = narrow.pool(answering(OK))
        for _ in range(3):
            assert (await talk(pool, NO_FIT, reactor=narrow.reactor)).take_body() == [b"ok"]
        assert [seen.body for seen in narrow.server.requests] == [NO_FIT] * 3
        assert narrow.server.connections == 1
        pool.close()

    async def test_an_early_answer_ends_it(self, narrow: Narrow) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", step=1)
            await trio.sleep_forever()

        pool = narrow.pool(script)
        assert (await talk(pool, NO_FIT, reactor=narrow.reactor)).status == 403
        assert pool.statistics().open == 0  # the server still waits for the rest

    async def test_nobody_reads_it(self, narrow: Narrow) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await trio.sleep_forever()

        pool = narrow.pool(script)
        with pytest.raises(httpx.WriteTimeout):
            await talk(pool, NO_FIT, write_s=0.05, reactor=narrow.reactor)
        assert pool.statistics().open == 0

    async def test_nobody_reads_it_as_long_as_there_is_time(self, narrow: Narrow) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.request_head()
            await trio.sleep_forever()

        pool = narrow.pool(script)
        await talk(pool, b"", reactor=narrow.reactor)  # leaves a connection that lies ready
        limit = TimeLimit(trio.current_time() + 0.05)
        with trio.fail_after(4), limit:
            await talk(pool, NO_FIT, reactor=narrow.reactor, limit=limit)
            pytest.fail("nobody can have answered")
        assert pool.statistics().open == 0

    @pytest.mark.parametrize("answers", [True, False])
    async def test_the_server_goes_in_the_middle(self, narrow: Narrow, answers: bool) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            if answers:
                await peer.send(DENIED)
            await peer.hang_up()

        pool = narrow.pool(script)
        if answers:
            assert (await talk(pool, NO_FIT, reactor=narrow.reactor)).status == 403
        else:
            with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
                await talk(pool, NO_FIT, reactor=narrow.reactor)
        assert pool.statistics().open == 0
        assert narrow.server.connections == 1

    async def test_cancelled(self, narrow: Narrow) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            scope.cancel()
            await trio.sleep_forever()

        pool = narrow.pool(script)
        with trio.CancelScope() as scope:
            await talk(pool, NO_FIT, reactor=narrow.reactor)
        assert scope.cancelled_caught
        assert pool.statistics().open == 0
