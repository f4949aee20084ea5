"""TLS: whom we trust, what a truncation looks like, and that the rest works as without it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from parparchik.errors import ConfigError
from parparchik.s3.addressing import Origin
from parparchik.s3.connect import connect
from parparchik.s3.transport import Transport, tls_context
from tests.s3.scripted import OK, Peer, Script, ScriptedServer, answering, pool_of, serve


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
async def transport(ca_bundle: Path) -> AsyncIterator[Transport]:
    transport = Transport(tls_context(ca_bundle))
    yield transport
    transport.close()


@pytest.fixture
async def client(transport: Transport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as client:
        yield client


async def start(
    nursery: trio.Nursery,
    script: Script,
    authority: trustme.CA,
    *,
    name: str = "127.0.0.1",
) -> ScriptedServer:
    """A server on 127.0.0.1 whose certificate is for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    async def task(task_status: trio.TaskStatus[ScriptedServer]) -> None:
        await serve(script, tls=context, task_status=task_status)

    server: ScriptedServer = await nursery.start(task)
    return server


async def test_answers(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA
) -> None:
    server = await start(nursery, answering(OK), authority)
    for _ in range(3):
        assert (await client.get(server.url)).text == "ok"
    assert server.connections == 1


async def test_by_name(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA
) -> None:
    server = await start(nursery, answering(OK), authority, name="localhost")
    assert (await client.get(f"https://localhost:{server.origin.port}")).text == "ok"


@pytest.mark.parametrize("name", ["other.example", "127.0.0.2"])
async def test_a_certificate_for_somebody_else_is_refused(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA, name: str
) -> None:
    server = await start(nursery, answering(OK), authority, name=name)
    with pytest.raises(httpx.ConnectError, match=r"certificate.*127\.0\.0\.1"):
        await client.get(server.url)
    assert server.requests == []


async def test_an_authority_that_nobody_knows_is_refused(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    server = await start(nursery, answering(OK), trustme.CA())
    with pytest.raises(httpx.ConnectError, match="certificate"):
        await client.get(server.url)
    assert server.requests == []


async def test_the_systems_authorities_do_not_include_it(
    nursery: trio.Nursery, authority: trustme.CA
) -> None:
    server = await start(nursery, answering(OK), authority)
    async with httpx.AsyncClient(transport=Transport(tls_context(None))) as client:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(server.url)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_bundle_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"AWS_CA_BUNDLE.*bundle\.pem"):
        tls_context(path)


async def test_bytes_that_come_unasked_are_seen(
    nursery: trio.Nursery, ca_bundle: Path, authority: trustme.CA
) -> None:
    """Also those that were taken from the socket together with the answer."""
    sent = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.send(OK)
        sent.set()
        await peer.closed_by_client()

    server = await start(nursery, script, authority)
    connection = await connect(server.origin, tls_context(ca_bundle))
    await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await sent.wait()
    assert await connection.receive(len(OK)) == OK
    assert connection.is_stale()
    connection.close()


@pytest.mark.parametrize("step", [0, 1000, 70_000])
async def test_a_large_body(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA, step: int
) -> None:
    """Records are given out together, whole and in their order, however they come."""
    data = bytes(range(256)) * 4_001
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(head + data, step=step)

    server = await start(nursery, script, authority)
    for _ in range(2):
        assert (await client.get(server.url)).content == data
    assert server.connections == 1


async def test_uploads_keep_the_connection(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA
) -> None:
    server = await start(nursery, answering(OK), authority)
    for size in (1, 100_000, 3_000_000):
        assert (await client.put(server.url, content=b"x" * size)).text == "ok"
        assert len(server.requests[-1].body) == size
    assert server.connections == 1


async def test_an_early_answer_ends_the_upload(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, authority: trustme.CA
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied")
        await trio.sleep_forever()

    server = await start(nursery, script, authority)
    response = await client.put(server.url, content=b"x" * 50_000_000)
    assert (response.status_code, response.text) == (403, "denied")
    assert pool_of(transport, server).open == 0


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_body_until_the_end_needs_a_goodbye(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA, goodbye: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall?")
        await (peer.close() if goodbye else peer.hang_up())

    server = await start(nursery, script, authority)
    if goodbye:
        assert (await client.get(server.url)).text == "all?"
    else:
        with pytest.raises(httpx.ReadError):
            await client.get(server.url)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_kept_connection_that_turns_out_closed_is_replaced(
    nursery: trio.Nursery, client: httpx.AsyncClient, authority: trustme.CA, goodbye: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 0:
            await peer.request_head()
            await (peer.close() if goodbye else peer.hang_up())
        else:
            await peer.closed_by_client()

    server = await start(nursery, script, authority)
    for _ in range(2):
        assert (await client.get(server.url)).text == "ok"
    assert server.connections == 2


async def test_a_handshake_that_never_ends(client: httpx.AsyncClient) -> None:
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(
                f"https://127.0.0.1:{listener.getsockname()[1]}",
                timeout=httpx.Timeout(5, connect=0.05),
            )


async def test_a_server_without_tls(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server: ScriptedServer = await nursery.start(serve, script)
    url = str(Origin("https", server.origin.host, server.origin.port))
    with pytest.raises(httpx.ConnectError):
        await client.get(url)


async def test_silence_is_a_time_out(
    nursery: trio.Nursery, transport: Transport, client: httpx.AsyncClient, authority: trustme.CA
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.closed_by_client()

    server = await start(nursery, script, authority)
    with pytest.raises(httpx.ReadTimeout):
        await client.get(server.url, timeout=httpx.Timeout(5, read=0.05))
    assert pool_of(transport, server).open == 0
