"""Kept connections that turn out closed: when a request goes out again, and when it must not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, Script, ScriptedServer, pool_of, serve


class TestKeptConnectionThatTurnsOutClosed:
    """The server closes a connection when the second request on it arrives, before an answer."""

    @staticmethod
    def script(*, answer_begins: bytes = b"") -> Script:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            if peer.number == 0:
                await peer.request_head()
                await peer.send(answer_begins)
            else:
                await peer.closed_by_client()

        return script

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    async def test_is_replaced_once(
        self, nursery: trio.Nursery, client: httpx.AsyncClient, method: str
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, answering_once_then_closing)
        content = b"body" if method == "PUT" else None
        for _ in range(2):
            response = await client.request(method, server.url, content=content)
            assert response.status_code == 204
        assert server.connections == 2
        assert [seen.body for seen in server.requests] == [content or b""] * 2

    async def test_not_when_an_answer_has_begun(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, self.script(answer_begins=b"HTTP"))
        await client.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url)
        assert server.connections == 1

    async def test_not_for_a_request_that_may_do_something_twice(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        server: ScriptedServer = await nursery.start(serve, self.script())
        await client.get(server.url)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.post(server.url, content=b"body")
        assert server.connections == 1

    async def test_not_when_the_body_cannot_be_had_again(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"once"

        server: ScriptedServer = await nursery.start(serve, self.script())
        await client.get(server.url)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.put(server.url, content=body())
        assert server.connections == 1

    async def test_only_once(self, nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            if peer.number == 0:
                await peer.send(OK)
                await peer.request_head()

        server: ScriptedServer = await nursery.start(serve, script)
        await client.get(server.url)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(server.url)
        assert server.connections == 2

    async def test_not_for_a_new_connection(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()

        server: ScriptedServer = await nursery.start(serve, script)
        with pytest.raises(httpx.RemoteProtocolError, match="without an answer"):
            await client.get(server.url)
        assert server.connections == 1

    async def test_many_at_once(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        """Each of four idle connections is dead, as when the server was restarted."""
        server: ScriptedServer = await nursery.start(serve, answering_once_then_closing)
        for _ in range(2):
            async with trio.open_nursery() as requests:
                for _ in range(4):
                    requests.start_soon(client.get, server.url)
        assert pool_of(transport, server).open == 4
        assert len(server.requests) == 8


async def answering_once_then_closing(peer: Peer) -> None:
    """The second request on a connection is read in part and not answered."""
    await peer.request()
    await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    await peer.request_head()
