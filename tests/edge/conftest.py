"""An edge on a real port, and clients of raw bytes."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from parparchik.access import AccessLog, RequestIds
from parparchik.edge import Edge, Limits, holding
from parparchik.metrics import Traffic
from parparchik.model import Answer, Question, Request, Unfinished
from tests.edge.deeds import Deeds, PromptDeeds


@dataclass
class Known:
    """Knows its answer, or waits for somebody to `tell` it."""

    known: Answer | None
    told: trio.Event = field(default_factory=trio.Event)
    crash: Exception | None = None

    def answer_nowait(self) -> Answer | None:
        if self.crash:
            raise self.crash
        return self.known

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        await self.told.wait()
        if self.crash:
            raise self.crash
        assert self.known is not None
        return self.known

    def tell(self, answer: Answer) -> None:
        self.known = answer
        self.told.set()


def redirect(target: bytes) -> Answer:
    return Answer(
        302, ((b"location", b"http://s3" + target), (b"cache-control", b"no-store")), b"", "public"
    )


class Routes:
    """Redirects everything, but for the targets in `questions`; /status is another's."""

    def __init__(self) -> None:
        self.questions: dict[bytes, Known] = {}
        self.asked: list[Request] = []

    def ask(self, request: Request) -> Question | None:
        if request.target.partition(b"?")[0] == b"/status":
            return None
        self.asked.append(request)
        if request.target not in self.questions:
            self.questions[request.target] = Known(redirect(request.target))
        return self.questions[request.target]


class Other:
    """Whom connections are handed over to: keeps what was read, and closes."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def take(self, sock: socket.socket, data: bytes) -> None:
        with trio.socket.from_stdlib_socket(sock) as stream:
            while more := await stream.recv(65_536):
                data += more
            self.got.append(data)
            await stream.send(b"handed over")


@dataclass
class Running:
    edge: Edge
    routes: Routes
    other: Other
    traffic: Traffic
    listener: socket.socket

    @property
    def handed_over(self) -> int:
        return self.edge.statistics().handed_over

    async def connect(self) -> trio.SocketStream:
        host, port = self.listener.getsockname()
        return await trio.open_tcp_stream(host, port)

    async def talk(self, *pieces: bytes) -> bytes:
        """Send, end, and read to the end."""
        async with await self.connect() as stream:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked(0.002)
            await stream.send_eof()
            return await read_all(stream)


async def read_all(stream: trio.SocketStream) -> bytes:
    return b"".join([piece async for piece in stream])


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = await stream.receive_some()
        assert more, data
        data += more
    return data


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nothing announces."""
    with trio.fail_after(20):
        while True:
            if condition():
                return
            await trio.sleep(0.002)


Start = Callable[..., Awaitable[Running]]


@asynccontextmanager
async def running(limits: Limits | None = None) -> AsyncIterator[Running]:
    routes, other, traffic = Routes(), Other(), Traffic()
    edge = Edge(
        ask=routes.ask,
        hand_over=other.take,
        access=AccessLog(traffic),
        request_ids=RequestIds(),
        limits=limits,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            await nursery.start(edge.serve, [listener])
            yield Running(edge, routes, other, traffic, listener)
            nursery.cancel_scope.cancel()


@pytest.fixture
async def up() -> AsyncIterator[Running]:
    # A fixture of pytest-trio runs in a task of its own: the nursery stays within it.
    async with running() as edge:
        yield edge


@pytest.fixture(params=[Deeds, PromptDeeds], ids=["in a task", "without"])
def mount(request: pytest.FixtureRequest) -> Deeds:
    made = request.param()
    assert isinstance(made, Deeds)
    return made


@pytest.fixture
async def acting(mount: Deeds) -> AsyncIterator[Running]:
    async with running() as up:
        up.edge.renew(ask=up.routes.ask, act=mount.act, access=AccessLog(up.traffic))
        yield up


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may take as long as a slow machine does."""
    monkeypatch.setattr(holding, "HOLD_S", 60.0)
