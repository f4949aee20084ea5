"""Sinks against servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.errors import ConfigError
from parparchik.sinks import Sinks
from parparchik.sinks.tcp import TCPDestination
from tests.sinks.scene import PATIENCE_S, SEEN, running


class Server:
    """Takes TCP connections, one `handle` each; what they were sent is in `received`."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        self.close_after: int | None = None
        self.port = 0

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, self._handle, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _handle(self, stream: trio.SocketStream) -> None:
        received = bytearray()
        self.received.append(received)
        async with stream:
            async for piece in stream:
                received += piece
                if self.close_after is not None and len(received) >= self.close_after:
                    return

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not holds():  # noqa: ASYNC110
                await trio.sleep(0.01)


def to(url: str, kind: Any = "influx", **settings: Any) -> SinksConfig:
    return SinksConfig((SinkConfig(kind, url, flush_s=0.01, **settings),))


@pytest.mark.parametrize("kind", ["influx", "akumuli"])
async def test_tcp(kind: Any) -> None:
    server = Server()
    async with server.running():
        sinks = Sinks(to(f"tcp://127.0.0.1:{server.port}", kind), now_ns=lambda: 42)
        async with running(sinks):
            sinks.observe(SEEN, 0.001, "203.0.113.1")
            await server.until(lambda: bool(server.received and server.received[0]))
            sinks.observe(SEEN, 0.001, "203.0.113.2")
            await server.until(lambda: b"203.0.113.2" in server.received[0])
    assert len(server.received) == 1
    first = bytes(server.received[0])
    if kind == "influx":
        assert first.startswith(
            b'request,method=GET,mimeType=text/html resource="/a",ipaddress="203.0.113.1",size=12i,'
            b"time=1000000i,status=200i,compressed=true 42\n"
        )
    else:
        assert first.startswith(b"+request.size|request.time|request.status|request.compressed ")
        assert b"resource=/a mimeType=text/html ipaddress=203.0.113.1\r\n:42\r\n*4\r\n" in first


async def test_a_connection_that_was_closed_is_opened_again_and_nothing_lost() -> None:
    server = Server()
    server.close_after = 1
    async with server.running():
        sinks = Sinks(to(f"tcp://127.0.0.1:{server.port}"))
        async with running(sinks):
            for number in range(5):
                sinks.observe(SEEN, 0.001, f"203.0.113.{number}")
                await server.until(lambda: len(server.received) == number + 1)  # noqa: B023
                await server.until(lambda: bool(server.received[-1]))
                await trio.sleep(0.02)  # for the other side's end to arrive
    assert [b'"203.0.113.%d"' % n in received for n, received in enumerate(server.received)] == (
        [True] * 5
    )


async def test_a_server_that_comes_late_gets_what_was_before() -> None:
    server = Server()
    async with server.running():
        port = server.port
    sinks = Sinks(to(f"tcp://127.0.0.1:{port}"))
    async with running(sinks):
        sinks.observe(SEEN, 0.001, "203.0.113.1")
        await server.until(lambda: sinks.statistics()[0].failures > 0)
        async with server.running(port):
            await server.until(lambda: any(server.received))
    assert sinks.statistics()[0].sent == 1


async def test_nothing_follows_a_batch_that_was_cut() -> None:
    received: list[bytes] = []
    reads = trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        number = len(received)
        received.append(b"")
        if number == 0:
            await reads.wait()
        async for piece in stream:
            received[number] = (received[number] + piece)[-10:]

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        port = listeners[0].socket.getsockname()[1]
        destination = TCPDestination("127.0.0.1", port, lambda measurements: b"")
        with trio.move_on_after(0.2) as limit:
            await destination.send(b"x" * (64 << 20))  # more than any socket takes
        assert limit.cancelled_caught
        reads.set()
        await destination.send(b"next\n")
        with trio.fail_after(PATIENCE_S):
            while received[1:] != [b"next\n"]:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await destination.aclose()
        nursery.cancel_scope.cancel()
    assert received[0].strip(b"x") == b""


class HTTPServer(Server):
    """Answers each POST with the next of `statuses`, the last for ever."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []

    async def _handle(self, stream: trio.SocketStream) -> None:
        buffer = b""
        async with stream:
            async for piece in stream:
                buffer += piece
                head, end, body = buffer.partition(b"\r\n\r\n")
                if not end:
                    continue
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                if len(body) < length:
                    continue
                self.heads.append(head)
                self.bodies.append(body)
                buffer = b""
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                await stream.send_all(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)


async def test_http() -> None:
    server = HTTPServer(204)
    async with server.running():
        url = f"http://127.0.0.1:{server.port}/api/v2/write?bucket=b&org=o"
        sinks = Sinks(to(url, token="s3cret"))
        async with running(sinks):
            sinks.observe(SEEN, 0.001, "203.0.113.1")
            await server.until(lambda: sinks.statistics()[0].sent == 1)
    assert server.heads[0].startswith(b"POST /api/v2/write?bucket=b&org=o HTTP/1.1\r\n")
    assert b"token s3cret" in server.heads[0].lower()
    assert server.bodies[0].startswith(b"request,method=GET")
    assert "s3cret" not in repr(to(url, token="s3cret"))
    assert sinks.statistics()[0].server == f"127.0.0.1:{server.port}"


async def test_http_that_is_busy_is_asked_again_and_a_bad_batch_is_not() -> None:
    server = HTTPServer(503, 401, 204, 400, 204)
    async with server.running():
        sinks = Sinks(to(f"http://127.0.0.1:{server.port}/write", batch_max=1))
        async with running(sinks):
            for number in (1, 2, 3):
                sinks.observe(SEEN, 0.001, f"203.0.113.{number}")
            await server.until(lambda: len(server.bodies) == 5)
            await server.until(lambda: sinks.statistics()[0].sent == 2)
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]
    statistics = sinks.statistics()[0]
    assert (statistics.sent, statistics.refused, statistics.failures) == (2, 1, 2)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("influx", "udp://host:1"),
        ("influx", "host:8089"),
        ("influx", "tcp://"),
        ("influx", "tcp://host:port"),
        ("akumuli", "http://host/"),
        ("mongodb", "http://host/"),
        ("mongodb", "mongodb://user:s3cret@host:port/"),
    ],
)
def test_what_can_be_no_sink_stops_the_start(kind: Any, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Sinks(to(url, kind))
    assert "s3cret" not in str(raised.value)
