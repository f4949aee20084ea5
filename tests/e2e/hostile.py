"""Both planes in this process, and a client that brings the same bytes to each of them.

What a stream of bytes is taken for is seen from outside: which requests were answered, with which
status, in which order, and whether the connection was closed behind them.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio
import trio.testing
import trustme

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.metrics import Traffic
from parparchik.model import Answer, Question, Request, Unfinished
from parparchik.server.plane import Answering, Plane
from parparchik.server.supervise import Supervisor
from parparchik.server.tls import Certificate
from parparchik.web import Front, Mounts, Place

QUIET_S = 0.01
"""Nothing in this process has anything to do for so long: whatever is to be answered has been."""

PRELUDE = b"GET /status HTTP/1.1\r\nHost: t\r\n\r\n"
"""After its answer a plain connection is the web plane's."""

_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) .*?(?=HTTP/1\.1 \d{3} |\Z)", re.DOTALL)
_ID = re.compile(rb"\r\nx-request-id: (n-[\w-]+)\r\n")
_LOCATION = re.compile(rb"\r\nlocation: (\S+)\r\n")


class Seen(NamedTuple):
    """`answers` are (status, what it answers: the request's id or target, b'' if unknown)."""

    answers: tuple[tuple[int, bytes], ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class Redirect:
    """Of everything to itself; half of the targets have to be waited for now and then."""

    target: bytes
    waits: list[int]

    def _redirect(self) -> Answer:
        return Answer(302, ((b"location", self.target),), kind="public")

    def answer_nowait(self) -> Answer | None:
        self.waits[0] += 1
        return None if self.waits[0] % 3 == 0 else self._redirect()

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        await trio.lowlevel.checkpoint()
        return self._redirect()


class Redirects:
    def __init__(self) -> None:
        self.waits = [0]

    def ask(self, request: Request) -> Question:
        return Redirect(request.target, self.waits)


async def management(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2"), (b"location", scope["raw_path"])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Planes:
    """`ways` are the ways to bring a stream to a plane; the first is the edge's."""

    plane: Plane
    port: int
    tls_port: int
    trust: ssl.SSLContext
    traffic: Traffic

    async def edge(self) -> trio.abc.Stream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def handed_over(self) -> trio.abc.Stream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(PRELUDE)
        while not (await stream.receive_some()).endswith(b"ok"):
            pass
        return stream

    async def tls(self) -> trio.abc.Stream:
        plain = await trio.open_tcp_stream("127.0.0.1", self.tls_port)
        stream = trio.SSLStream(
            plain, self.trust, server_hostname="front.test", https_compatible=True
        )
        await stream.do_handshake()
        return stream

    @property
    def ways(self) -> tuple[Callable[[], Any], ...]:
        return (self.edge, self.handed_over, self.tls)

    async def see(
        self,
        brought: Sequence[tuple[Callable[[], Any], Sequence[bytes]]],
        *,
        quiet_s: float = QUIET_S,
    ) -> list[Seen]:
        """What becomes of each stream, given as the way that it goes and its pieces; all at once,
        each piece when everybody is done with the ones before, which is when nothing has happened
        for `quiet_s`."""
        received = [b""] * len(brought)
        closed = [False] * len(brought)

        async def read(number: int, stream: trio.abc.Stream) -> None:
            with suppress(trio.BrokenResourceError):
                while data := await stream.receive_some():
                    received[number] += data
            closed[number] = True

        async def send(number: int, stream: trio.abc.Stream, piece: bytes) -> None:
            with suppress(trio.BrokenResourceError):  # refused already
                await stream.send_all(piece)

        streams: list[trio.abc.Stream] = []
        for way, _ in brought:
            streams.append(await way())
        async with trio.open_nursery() as readers:
            for number, stream in enumerate(streams):
                readers.start_soon(read, number, stream)
            for turn in range(max(len(pieces) for _, pieces in brought)):
                async with trio.open_nursery() as senders:
                    for number, (_, pieces) in enumerate(brought):
                        if turn < len(pieces):
                            senders.start_soon(send, number, streams[number], pieces[turn])
                await trio.testing.wait_all_tasks_blocked(quiet_s)
            readers.cancel_scope.cancel()
        for stream in streams:
            await trio.aclose_forcefully(stream)
        return [Seen(read_answers(data), end) for data, end in zip(received, closed, strict=True)]


def read_answers(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """No body here has a status line in it: so they part the answers, whatever HEAD may mean."""
    answers = []
    for match in _ANSWER.finditer(data):
        named = _ID.search(match[0]) or _LOCATION.search(match[0])
        answers.append((int(match[1]), named[1] if named else b""))
    return tuple(answers)


def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def both_planes(
    folder: Path, places: Sequence[Place] = (), *, upload_timeout_s: float = 60.0, **settings: Any
) -> AsyncIterator[Planes]:
    authority = trustme.CA()
    authority.issue_cert("front.test").private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with listening() as plain, listening() as tls:
        config = ServerConfig(
            host="127.0.0.1",
            tls_certificate=folder / "pem",
            tls_port=tls.getsockname()[1],
            **settings,
        )
        mounts, traffic, ids = Mounts(places, Redirects()), Traffic(), RequestIds()
        access = AccessLog(traffic)
        front = Front(
            *(mounts, management, access, ids),
            trusts=lambda scope: False,
            upload_timeout_s=upload_timeout_s,
        )
        plane = Plane(
            config,
            Answering(mounts.ask, front, access, act=mounts.act),
            Supervisor(),
            ids,
            certificate=Certificate(config),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(plane.serve, [plain, tls]))
            yield Planes(plane, plain.getsockname()[1], config.tls_port or 0, trust, traffic)
            nursery.cancel_scope.cancel()
