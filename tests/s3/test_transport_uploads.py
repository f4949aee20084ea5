"""Request bodies, and servers that have no patience with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from parparchik.s3.request import PiecewiseBody
from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, ScriptedServer, answering, pool_of, serve


class Counted(httpx.AsyncByteStream):
    """A body in chunks that can be read once; `begun` says how many were asked for."""

    def __init__(self, *chunks: bytes) -> None:
        self.begun = 0
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            self.begun += 1
            return chunk
        raise StopAsyncIteration


@pytest.mark.parametrize("content", [b"", b"x", b"0123456789" * 100_000])
async def test_bytes(nursery: trio.Nursery, client: httpx.AsyncClient, content: bytes) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    for _ in range(2):
        assert (await client.put(server.url, content=content)).text == "ok"
    assert server.connections == 1
    assert [seen.body for seen in server.requests] == [content] * 2
    assert server.requests[0].headers["content-length"] == str(len(content))


async def test_in_chunks(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    body = Counted(b"one", b"", b"two", b"x" * 200_000)
    assert (await client.put(server.url, content=body)).text == "ok"
    assert (await client.get(server.url)).text == "ok"
    assert server.connections == 1
    seen = server.requests[0]
    assert seen.body == b"onetwo" + b"x" * 200_000
    assert seen.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in seen.headers


async def test_streamed_with_a_length(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    body = Counted(b"one", b"two")
    response = await client.put(server.url, content=body, headers={"Content-Length": "6"})
    assert response.text == "ok"
    assert server.requests[0].body == b"onetwo"
    assert "transfer-encoding" not in server.requests[0].headers


async def test_pieces_are_given_out_as_often_as_needed() -> None:
    pieces = [b"0123456789" * 50_000, b"", b"end"]
    body = PiecewiseBody(pieces)
    for _ in range(2):
        assert [piece async for piece in body] == pieces


@pytest.mark.parametrize("length", [5, 7])
async def test_a_body_that_is_not_as_long_as_announced(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, length: int
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    body = Counted(b"one", b"two")
    with pytest.raises(httpx.LocalProtocolError, match=str(length)):
        await client.put(server.url, content=body, headers={"Content-Length": str(length)})
    assert pool_of(transport, server).open == 0
    assert server.requests == []


async def test_a_body_that_fails_ends_the_request(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    server: ScriptedServer = await nursery.start(serve, answering(OK))
    with pytest.raises(ZeroDivisionError):
        await client.put(server.url, content=body())
    assert pool_of(transport, server).open == 0
    assert server.requests == []


class TestAnswerBeforeTheBodyWasRead:
    async def test_is_the_answer(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied", step=1)
            await trio.sleep_forever()

        server: ScriptedServer = await nursery.start(serve, script)
        body = Counted(*[b"x" * 1_000_000] * 100)
        response = await client.put(server.url, content=body)
        assert (response.status_code, response.text) == (403, "denied")
        assert body.begun < 100
        assert pool_of(transport, server).open == 0

    async def test_also_when_the_server_closes(
        self, nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(
                b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
            )
            await peer.end_sending()
            await trio.sleep(0.1)  # closed at once, the kernel would take the answer back

        async def body() -> AsyncIterator[bytes]:
            for _ in range(1000):
                await trio.sleep(0.001)
                yield b"x" * 1_000

        server: ScriptedServer = await nursery.start(serve, script)
        response = await client.put(server.url, content=body())
        assert (response.status_code, response.text) == (413, "big")
        assert pool_of(transport, server).open == 0

    async def test_an_interim_answer_is_not_one(
        self, nursery: trio.Nursery, client: httpx.AsyncClient
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await peer.request()
            await peer.send(OK)

        server: ScriptedServer = await nursery.start(serve, script)
        body = Counted(*[b"x" * 100_000] * 20)
        assert (await client.put(server.url, content=body)).text == "ok"
        assert len(server.requests[0].body) == 2_000_000


async def test_the_connection_closed_within_the_body(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request_head()

    server: ScriptedServer = await nursery.start(serve, script)
    with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
        await client.put(server.url, content=b"x" * 50_000_000)
    assert pool_of(transport, server).open == 0
