"""The web plane on a real socket, before fakes of the rooms it stands on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import h11
import msgspec
import pytest
import trio

from parparchik.access import AccessLog, ConsoleLines, RateLimiter, RequestIds
from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    CacheConfig,
    Config,
    Endpoint,
    RoutesConfig,
)
from parparchik.errors import ParparchikError
from parparchik.metrics import Traffic
from parparchik.model import Answer, Bucket, Entry, Request, Unfinished
from parparchik.routes import Authenticator
from parparchik.server.hypercorn import HypercornConnections
from parparchik.web import (
    Caching,
    Exposition,
    Front,
    Management,
    Mounts,
    Peering,
    Place,
    create_management,
)

PUBLIC = Bucket("photos", public=True)
PRIVATE = Bucket("vault", manifest_key="state/files.json")


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    def header(self, name: str) -> str | None:
        return next((value for n, value in self.headers if n == name), None)

    @property
    def json(self) -> dict[str, object]:
        document: dict[str, object] = msgspec.json.decode(self.body)
        return document


@dataclass
class Connection:
    """One client connection: bytes out as they are given, replies in as h11 reads them."""

    stream: trio.SocketStream
    _h11: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def reply(self, method: str = "GET") -> Reply:
        """The next reply, to a request of `method`."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        self._h11.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        self._h11.send(h11.EndOfMessage())
        reply = Reply(0, [], b"")
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError:  # closed in the middle of a body
                reply.complete = False
                return reply
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self.stream.receive_some(65536))
            elif isinstance(event, h11.Response):
                reply.status = event.status_code
                reply.headers = [(n.decode(), v.decode()) for n, v in event.headers]
            elif isinstance(event, h11.Data):
                reply.body += event.data
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return reply

    async def ask(
        self, method: str, target: str, headers: Sequence[str] = (), body: bytes = b""
    ) -> Reply:
        await self.send(request_bytes(method, target, headers) + body)
        return await self.reply(method)


def request_bytes(method: str, target: str, headers: Sequence[str] = ()) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@dataclass
class FakeQuestion:
    """Waits for `gate`, if there is one."""

    request: Request
    gate: trio.Event | None

    def answer_nowait(self) -> Answer | None:
        return self._answer() if self.gate is None else None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        assert self.gate is not None
        await self.gate.wait()
        return self._answer()

    def _answer(self) -> Answer:
        location = b"http://s3.test" + self.request.target
        return Answer(302, ((b"location", location),), b"moved\n", "redirect")


@dataclass
class FakeRoutes:
    """Redirects to a place that tells what was asked for; remembers the requests."""

    asked: list[Request] = field(default_factory=list)
    gate: trio.Event | None = None
    crash: Exception | None = None

    def ask(self, request: Request) -> FakeQuestion:
        self.asked.append(request)
        if self.crash:
            raise self.crash
        return FakeQuestion(request, self.gate if b"slow" in request.target else None)


@dataclass
class FakeRelocation:
    entry: Entry
    relocated_from: str | None = None
    relocated_to: str | None = None
    duplicate: bool = False
    note: str | None = None


@dataclass
class FakeService:
    ready: bool = True
    entries: dict[str, Entry] = field(default_factory=dict)
    failure: ParparchikError | Exception | None = None
    relocation: FakeRelocation | None = None
    syncs: int = 0

    @property
    def count(self) -> int:
        return len(self.entries)

    def move(
        self,
        entry: Entry,
        *,
        relocated_from: str | None = None,
        relocated_to: str | None = None,
        duplicate: bool = False,
        note: str | None = None,
    ) -> None:
        """What `relocate` answers from now on."""
        self.relocation = FakeRelocation(entry, relocated_from, relocated_to, duplicate, note)

    async def update(self, key: str) -> Entry | None:
        await self._work()
        return self.entries.get(key)

    async def relocate(self, key: str) -> FakeRelocation | None:
        await self._work()
        return self.relocation

    async def sync(self) -> None:
        await self._work()
        self.syncs += 1

    async def _work(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure:
            raise self.failure


@dataclass
class FakeFiles:
    entries: list[Entry] = field(default_factory=list)
    crash_after: int | None = None

    async def sorted_batches(self) -> AsyncGenerator[list[Entry], None]:
        for number, start in enumerate(range(0, len(self.entries), 1000)):
            if number == self.crash_after:
                raise RuntimeError("lost")
            yield self.entries[start : start + 1000]
            await trio.lowlevel.checkpoint()


@dataclass
class FakeReadiness:
    because: str | None = None

    def reason(self) -> str | None:
        return self.because


class FakeExposition:
    async def render(self, accept: str) -> tuple[str, bytes]:
        await trio.lowlevel.checkpoint()
        return f"text/plain; accepted={accept}", b"up 1\n"


@dataclass
class Web:
    """A web plane at `port`, and the fakes behind it."""

    port: int
    routes: FakeRoutes
    service: FakeService
    files: FakeFiles
    readiness: FakeReadiness
    traffic: Traffic
    connections: HypercornConnections

    async def connect(self) -> Connection:
        return Connection(await trio.open_tcp_stream("127.0.0.1", self.port))

    async def ask(
        self, method: str, target: str, headers: Sequence[str] = (), body: bytes = b""
    ) -> Reply:
        """One request on a connection of its own."""
        connection = await self.connect()
        async with connection.stream:
            return await connection.ask(method, target, headers, body)


class StartWeb:
    """Starts web planes in the test's nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def __call__(
        self,
        *,
        auth: AuthConfig | None = None,
        routes: RoutesConfig | None = None,
        buckets: tuple[Bucket, ...] = (PUBLIC, PRIVATE),
        caching: Caching | None = None,
        peering: Peering | None = None,
        peers: tuple[str, ...] = (),
        exposition: Exposition | None = None,
        places: Sequence[Place] = (),
        limiter: RateLimiter | None = None,
        access: AccessLog | None = None,
    ) -> Web:
        config = Config(
            buckets=tuple(BucketConfig(b, Endpoint(region="eu-west-1")) for b in buckets),
            auth=auth or AuthConfig(),
            routes=routes or RoutesConfig(),
            cache=CacheConfig(peers=peers),
        )
        service, files, readiness = FakeService(), FakeFiles(), FakeReadiness()
        management = Management(
            config=config,
            service=service,
            files=files,
            readiness=readiness,
            exposition=exposition or FakeExposition(),
            authenticator=Authenticator(config.auth),
            caching=caching,
            peering=peering,
        )
        traffic, fake_routes = Traffic(), FakeRoutes()
        front = Front(
            Mounts(places, fake_routes),
            create_management(management),
            access or AccessLog(traffic, ConsoleLines()),
            RequestIds(),
            trusts=management.trusts,
            limiter=limiter,
        )
        connections = HypercornConnections(front)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await self._nursery.start(partial(trio.serve_listeners, connections.serve, listeners))
        port: int = listeners[0].socket.getsockname()[1]
        return Web(port, fake_routes, service, files, readiness, traffic, connections)


@pytest.fixture
async def start_web(nursery: trio.Nursery) -> StartWeb:
    return StartWeb(nursery)


@pytest.fixture
async def web(start_web: StartWeb) -> Web:
    """Two buckets, no API keys, ready, empty."""
    return await start_web()
