"""Servers that keep us waiting, connections that cannot be had, callers that give up."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from parparchik.s3.addressing import Origin
from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, ScriptedServer, answering, pool_of, serve


class TestTimeouts:
    async def test_no_answer(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.closed_by_client()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(5, read=0.05))
        assert pool_of(transport, server).open == 0

    async def test_silence_within_the_body(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await peer.closed_by_client()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(5, read=0.05))
        assert pool_of(transport, server).open == 0

    async def test_nobody_reads_the_body(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await trio.sleep_forever()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(httpx.WriteTimeout):
            await client.put(
                server.url, content=b"x" * 50_000_000, timeout=httpx.Timeout(5, write=0.05)
            )
        assert pool_of(transport, server).open == 0

    async def test_reading_has_time_only_from_the_end_of_sending(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(5):
                await trio.sleep(0.05)
                yield b"x"

        server: ScriptedServer = await nursery.start(serve, answering(OK))
        response = await client.put(server.url, content=body(), timeout=httpx.Timeout(5, read=0.1))
        assert response.text == "ok"

    async def test_no_free_connection(self, nursery: trio.Nursery, tls: ssl.SSLContext) -> None:
        server: ScriptedServer = await nursery.start(
            serve, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        )
        async with (
            httpx.AsyncClient(
                transport=Transport(tls, max_connections=1), trust_env=False
            ) as client,
            client.stream("GET", server.url),
        ):
            with pytest.raises(httpx.PoolTimeout):
                await client.get(server.url, timeout=httpx.Timeout(5, pool=0.05))

    async def test_connecting(self, client: httpx.AsyncClient) -> None:
        """A listener whose queue is full: the kernel drops what comes, like a firewall."""
        with trio.socket.socket() as listener:
            await listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            fillers = [trio.socket.socket() for _ in range(3)]
            try:
                async with trio.open_nursery() as filling:
                    for filler in fillers:
                        filling.start_soon(filler.connect, ("127.0.0.1", port))
                    await trio.sleep(0.05)
                    with pytest.raises(httpx.ConnectTimeout):
                        await client.get(
                            f"http://127.0.0.1:{port}", timeout=httpx.Timeout(5, connect=0.05)
                        )
                    filling.cancel_scope.cancel()
            finally:
                for filler in fillers:
                    filler.close()


class TestNoConnection:
    async def test_refused(self, client: httpx.AsyncClient) -> None:
        with trio.socket.socket() as unused:
            await unused.bind(("127.0.0.1", 0))
            with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1.*[Rr]efused"):
                await client.get(f"http://127.0.0.1:{unused.getsockname()[1]}")

    async def test_impossible_name(self, transport: Transport) -> None:
        with pytest.raises(httpx.ConnectError):
            await transport.pool(Origin("http", "a" * 64 + ".example", 80)).acquire()

    async def test_other_schemes(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")


class TestCancellation:
    @pytest.mark.parametrize("while_", ["sending", "waiting", "reading"])
    async def test_closes_the_connection(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, while_: str
    ) -> None:
        closed = trio.Event()
        arrived = trio.Event()

        async def script(peer: Peer) -> None:
            if while_ == "sending":
                await peer.request_head()
                arrived.set()
                await trio.sleep(0.2)
            else:
                await peer.request()
            if while_ == "reading":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            arrived.set()
            while not await peer.closed_by_client():
                pass
            closed.set()

        server: ScriptedServer = await nursery.start(serve, script)
        content = b"x" * 50_000_000 if while_ == "sending" else b"x"
        async with trio.open_nursery() as requests:
            requests.start_soon(lambda: client.put(server.url, content=content))
            await arrived.wait()
            await trio.sleep(0.02)
            requests.cancel_scope.cancel()
        assert pool_of(transport, server).open == 0
        with trio.fail_after(5):
            await closed.wait()
