"""One request over each way to the planes, and its answer, as raw as it came."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from tests.e2e.hostile import Planes
from tests.server.web_plane import H2Client

Fields = tuple[tuple[bytes, bytes], ...]
HTTP_1 = ("edge", "handed_over", "tls")
WAYS = (*HTTP_1, "h2")


class Given(NamedTuple):
    """An answer; what differs each time is blanked, and what only one protocol has left out."""

    status: int
    headers: Fields
    body: bytes


_BLANK = {
    b"date": rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    b"x-request-id": rb"[0-9a-f]{32}",
}


def given(status: int, headers: Fields, body: bytes) -> Given:
    blanked = tuple(
        (name, b"..." if re.fullmatch(_BLANK.get(name, b"$"), value) else value)
        for name, value in headers
    )
    return Given(status, blanked, body)


@dataclass
class Http1:
    """A connection; `broken` once it has ended amid an answer."""

    stream: trio.abc.Stream
    received: bytearray = field(default_factory=bytearray)

    async def send(
        self,
        method: str,
        target: str,
        headers: Fields = (),
        *,
        host: bytes = b"t",
        body: bytes = b"",
    ) -> None:
        fields = ((b"Host", host), *headers)
        lines = [b"%b: %b" % each for each in fields]
        line = f"{method} {target} HTTP/1.1".encode()
        await self.stream.send_all(b"\r\n".join([line, *lines, b"", body]))

    async def head(self) -> tuple[bytes, Fields]:
        """The next (status line, headers)."""
        while b"\r\n\r\n" not in self.received:
            await self.more()
        head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
        self.received = bytearray(rest)
        line, *lines = head.split(b"\r\n")
        return line, tuple((name, value) for name, _, value in (x.partition(b": ") for x in lines))

    async def answer(self, method: str) -> Given:
        line, headers = await self.head()
        status = int(line.split(b" ")[1])
        length = int(dict(headers).get(b"content-length", b"0"))
        body = bytearray()
        if method != "HEAD" and status not in (204, 304):
            while len(self.received) < length:
                await self.more()
            body, self.received = self.received[:length], self.received[length:]
        return given(status, headers, bytes(body))

    def take_little(self, buffer_bytes: int) -> None:
        """Have the kernel keep no more than about that of what comes. A large buffer that was full
        is announced to have room only when a sixteenth of it has been read."""
        plain = self.stream
        while isinstance(plain, trio.SSLStream):
            plain = plain.transport_stream
        assert isinstance(plain, trio.SocketStream)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)

    async def more(self) -> None:
        data = await self.stream.receive_some(65_536)
        if not data:
            raise EOFError("the connection has ended")
        self.received += data


@asynccontextmanager
async def http_2(planes: Planes) -> AsyncIterator[H2Client]:
    planes.trust.set_alpn_protocols(["h2"])
    try:
        stream = await planes.tls()
    finally:
        planes.trust.set_alpn_protocols(["http/1.1"])
    client = H2Client(stream)
    client.h2.initiate_connection()
    await client.flush()
    try:
        yield client
    finally:
        await trio.aclose_forcefully(stream)


def fields_of(method: str, target: str, headers: Fields = (), host: bytes = b"t") -> Fields:
    pseudo = (
        *((b":method", method.encode()), (b":scheme", b"https")),
        *((b":authority", host), (b":path", target.encode())),
    )
    return (*pseudo, *((name.lower(), value) for name, value in headers))


@asynccontextmanager
async def http_1(planes: Planes, way: str) -> AsyncIterator[Http1]:
    bring: Callable[[], Awaitable[trio.abc.Stream]] = getattr(planes, way)
    stream = await bring()
    try:
        yield Http1(stream)
    finally:
        await trio.aclose_forcefully(stream)


async def ask(
    planes: Planes,
    way: str,
    method: str,
    target: str,
    headers: Fields = (),
    *,
    host: bytes = b"t",
    body: bytes | None = None,
) -> Given:
    """With a `body`, its length is announced."""
    if body is not None:
        headers = (*headers, (b"content-length", b"%d" % len(body)))
    if way != "h2":
        async with http_1(planes, way) as connection:
            await connection.send(method, target, headers, host=host, body=body or b"")
            return await connection.answer(method)
    async with http_2(planes) as client:
        client.takes = True
        number = client.begin(fields_of(method, target, headers, host), end_stream=not body)
        if body:
            client.h2.send_data(number, body, end_stream=True)
        await client.flush()
        answered = await client.answer(number)
        assert answered.ended
        return given(answered.status, answered.headers, answered.body)
