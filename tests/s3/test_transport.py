"""The transport against real servers: what comes back, and what becomes of the connection."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator

import httpx
import pytest
import trio

from parparchik.s3.transport import Transport
from tests.s3.scripted import OK, Peer, ScriptedServer, answering, pool_of, serve


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (OK, "ok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            "ok",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ],
)
async def test_answers_however_they_arrive(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient,
    step: int, answer: bytes, text: str,
) -> None:  # fmt: skip
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer, step=step)

    server: ScriptedServer = await nursery.start(serve, script)
    for _ in range(3):
        assert (await client.get(server.url)).text == text
    assert server.connections == 1
    assert pool_of(transport, server).idle == 1


async def test_what_is_asked_for_arrives(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    response = await client.get(f"{server.url}/a%2Fb//c?x=%20y&z", headers={"X-Tag": "t"})
    assert response.http_version == "HTTP/1.1"
    assert response.reason_phrase == "OK"
    [seen] = server.requests
    assert seen.method == "GET"
    assert seen.target == "/a%2Fb//c?x=%20y&z"
    assert seen.headers["x-tag"] == "t"
    assert seen.headers["host"] == server.origin.authority


async def test_ipv6(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    try:
        server: ScriptedServer = await nursery.start(
            lambda task_status: serve(answering(OK), host="::1", task_status=task_status)
        )
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert (await client.get(server.url)).text == "ok"
    assert server.requests[0].headers["host"] == f"[::1]:{server.origin.port}"


async def test_head_has_no_body_and_keeps_the_connection(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server: ScriptedServer = await nursery.start(serve, answering(answer, OK))
    response = await client.head(server.url)
    assert (response.headers["content-length"], response.content) == ("1000", b"")
    assert (await client.get(server.url)).text == "ok"
    assert server.connections == 1


async def test_body_until_the_end_of_the_connection(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    server: ScriptedServer = await nursery.start(serve, script)
    assert (await client.get(server.url)).text == "all of it"
    assert pool_of(transport, server).open == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ],
)
async def test_a_truncated_body_is_an_error(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, answer: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    server: ScriptedServer = await nursery.start(serve, script)
    with pytest.raises(httpx.RemoteProtocolError, match="body"):
        await client.get(server.url)
    assert pool_of(transport, server).open == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
    ],
)
async def test_a_connection_that_is_of_no_more_use_is_closed(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, answer: bytes
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(answer))
    for _ in range(3):
        assert (await client.get(server.url)).text == "ok"
    assert server.connections == 3
    assert pool_of(transport, server).open == 0


async def test_bytes_that_come_unasked_are_nobodys_answer(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    sent = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 0:
            await trio.sleep(0.01)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
            sent.set()
        await peer.closed_by_client()

    server: ScriptedServer = await nursery.start(serve, script)
    assert (await client.get(server.url)).text == "ok"
    await sent.wait()
    assert (await client.get(server.url)).text == "ok"
    assert server.connections == 2


async def test_slow_reader_stops_the_server(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    all_sent = trio.Event()
    size = 100_000_000

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await peer.send(b"x" * size, step=1_000_000)
        all_sent.set()

    server: ScriptedServer = await nursery.start(serve, script)
    received = 0
    async with client.stream("GET", server.url) as response:
        await trio.sleep(0.3)
        assert not all_sent.is_set()
        async for piece in response.aiter_raw():
            received += len(piece)
    assert received == size


@pytest.mark.parametrize("read_something", [True, False])
async def test_response_closed_halfway_closes_its_connection(
    nursery: trio.Nursery, transport: Transport, read_something: bool
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100_000
    server: ScriptedServer = await nursery.start(serve, answering(answer))
    response = await transport.handle_async_request(httpx.Request("GET", server.url))
    assert pool_of(transport, server).open == 1
    if read_something:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        pieces = response.stream.__aiter__()
        assert isinstance(pieces, AsyncGenerator)
        assert await anext(pieces)
        await pieces.aclose()
    await response.aclose()
    assert pool_of(transport, server).open == 0


async def test_connection_is_free_again_with_the_last_byte(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    async with client.stream("GET", server.url) as response:
        await response.aread()
        assert pool_of(transport, server).idle == 1


async def test_headers_cannot_smuggle_a_request(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    for name, value in (
        (b"X-A", b"1\r\nX-B: 2"), (b"X-A", b"1\nX-B: 2"), (b"X-A", b"\x00"),
        (b"X A", b"1"), (b"X-A:", b"1"), (b"", b"1"),
    ):  # fmt: skip
        with pytest.raises(httpx.LocalProtocolError):
            await client.get(server.url, headers=[(name, value)])
    assert server.connections == 0


async def test_statistics_name_the_origin(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient
) -> None:
    server: ScriptedServer = await nursery.start(serve, answering(OK))
    await client.get(server.url)
    [(origin, pool)] = transport.statistics()
    assert origin == server.url
    assert (pool.open, pool.idle, pool.opened) == (1, 1, 1)


async def test_run_closes_idle_connections(nursery: trio.Nursery, tls: ssl.SSLContext) -> None:
    closed = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.closed_by_client()
        closed.set()

    server: ScriptedServer = await nursery.start(serve, script)
    transport = Transport(tls, idle_timeout_s=0.05)
    await nursery.start(transport.run)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        await client.get(server.url)
        with trio.fail_after(5):
            await closed.wait()
    assert pool_of(transport, server).open == 0
