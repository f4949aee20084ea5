"""Small requests that no task waits for: what comes of each answer, and of its connection."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
import trustme

from parparchik.errors import UpstreamError
from parparchik.s3.addressing import Origin
from parparchik.s3.response import Reply
from parparchik.s3.transport import Transport, tls_context
from parparchik.s3.unattended import ANSWER_MAX_BYTES
from tests.s3.errand_scene import (
    FINE,
    Errands,
    Opened,
    after_first,
    never,
    running,
)
from tests.s3.fake_s3 import answer
from tests.s3.scripted import OK, Peer, ScriptedServer, serve

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (OK, FINE),
        (answer(200, {"ETag": "x"}), Reply(200, {b"content-length": b"0", b"etag": b"x"})),
        (CHUNKED, Reply(200, {b"transfer-encoding": b"chunked"}, b"ok")),
        (b"HTTP/1.1 204 No\r\nA: b\r\n\r\n", Reply(204, {b"a": b"b"})),
        (answer(503, {}, b"x" * 500), Reply(503, {b"content-length": b"500"}, b"x" * 500)),
        (
            answer(200, {}, bytes(ANSWER_MAX_BYTES)),
            Reply(200, {b"content-length": b"1048576"}, bytes(ANSWER_MAX_BYTES)),
        ),
    ],
    ids=["body", "none", "chunked", "204", "error", "large"],
)
async def test_an_answer_leaves_its_connection_ready(
    opened: Opened, sent: bytes, reply: Reply, interim: bytes, step: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        while await peer.request():
            await peer.send(interim + sent, step=step if len(sent) < 1000 else step * 10_000)

    errands = await opened(script)
    for _ in range(2):
        assert await errands.send() == reply
        assert errands.pool == (1, 1)
    assert errands.server.connections == 1


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("sent", "closes"),
    [
        (answer(200, {"Connection": "close"}, b"ok"), False),
        (OK + b"x", False),
        (OK + OK, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),  # ends with the connection
    ],
)
async def test_a_connection_of_no_more_use_is_closed(
    opened: Opened, sent: bytes, closes: bool, step: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(sent, step=step)
        if not closes:
            await peer.closed_by_client()

    errands = await opened(after_first(script))
    told = await errands.send()
    assert isinstance(told, Reply)
    assert (told.status, told.body) == (200, b"ok")
    await trio.testing.wait_all_tasks_blocked(0.02)  # what lies beyond its end may come later
    assert not errands.begin(never)
    assert errands.pool == (0, 0)


@pytest.mark.parametrize("length", [1, 12, len(OK) - 3, len(OK) - 1])
async def test_an_answer_that_breaks_off(opened: Opened, length: int) -> None:
    errands = await opened(after_first(lambda peer: peer.send(OK[:length])))
    told = await errands.send()
    assert isinstance(told, httpx.RemoteProtocolError)
    assert errands.pool == (0, 0)


@pytest.mark.parametrize("resets", [False, True])
async def test_closed_before_the_answer_has_begun(
    nursery: trio.Nursery, transport: Transport, resets: bool
) -> None:
    """S3 cannot have read the request, or so it is taken: it may go out at once again."""

    async def handle(stream: trio.SocketStream) -> None:
        for last in (False, True):
            got = b""
            while not got.endswith(b"body"):
                got += await stream.receive_some()
            if not last:
                await stream.send_all(OK)
        if resets:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(stream)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, handle, [listener])
    async with running(transport):
        port = listener.socket.getsockname()[1]
        errands = Errands(transport, ScriptedServer(Origin("http", "127.0.0.1", port)))
        await errands.connect()
        assert await errands.send() is None
        assert errands.pool == (0, 0)


@pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nx\r\n\r\n"])
async def test_no_answer_of_an_s3(opened: Opened, sent: bytes) -> None:
    errands = await opened(after_first(lambda peer: peer.send(sent)))
    assert isinstance(await errands.send(), httpx.RemoteProtocolError)
    assert errands.pool == (0, 0)


@pytest.mark.parametrize("ends", [False, True])
async def test_an_answer_that_is_too_large(opened: Opened, ends: bool) -> None:
    async def script(peer: Peer) -> None:
        if ends:
            await peer.send(answer(200, {}, bytes(ANSWER_MAX_BYTES + 1)))
            return
        await peer.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"8000\r\n" + bytes(1 << 15) + b"\r\n")

    errands = await opened(after_first(script))
    told = await errands.send()
    assert isinstance(told, UpstreamError)
    assert "larger than 1048576 bytes" in str(told)
    assert errands.pool == (0, 0)


@pytest.mark.parametrize("sent", [b"", OK[:20], OK[:-1]])
async def test_silence_has_a_bound(opened: Opened, sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(sent)
        await peer.closed_by_client()

    errands = await opened(after_first(script))
    told = await errands.send(timeout_s=0.2)
    assert isinstance(told, httpx.ReadTimeout)
    assert str(told) == "no answer within 0.2 s"
    assert errands.pool == (0, 0)


async def test_a_trickle_does_not_make_it_longer(opened: Opened) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await trio.sleep(0.02)

    errands = await opened(after_first(script))
    assert isinstance(await errands.send(timeout_s=0.2), httpx.ReadTimeout)
    assert errands.pool == (0, 0)


@pytest.mark.parametrize("step", [0, 1000, 20_000])
async def test_over_tls(nursery: trio.Nursery, tmp_path: Path, step: int) -> None:
    """What has been decrypted and not been asked for is reported by no kernel."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    body = bytes(ANSWER_MAX_BYTES)

    async def script(peer: Peer) -> None:
        for sent in (OK, answer(200, {}, body), OK):
            await peer.request()
            await peer.send(sent, step=step)
        await peer.request()
        await peer.close()

    async def task(task_status: trio.TaskStatus[ScriptedServer]) -> None:
        await serve(script, tls=context, task_status=task_status)

    server: ScriptedServer = await nursery.start(task)
    transport = Transport(tls_context(tmp_path / "ca.pem"))
    async with running(transport):
        errands = Errands(transport, server)
        await errands.connect()
        assert await errands.send() == Reply(200, {b"content-length": b"1048576"}, body)
        assert await errands.send() == FINE
        assert errands.pool == (1, 1)
        assert await errands.send() is None
        assert errands.pool == (0, 0)
