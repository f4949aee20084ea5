"""A gateway on buckets in memory, with a cache and a delivery that do little and remember all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import trio

from parparchik.cache import Absent, Coding, Found, Policy, Wanted
from parparchik.config.model import AuthConfig, ObjectsConfig, Permission
from parparchik.content import NotModified, ObjectBytes, ObjectName
from parparchik.delivery import Deliverer, Serving
from parparchik.model import Answer, Bucket, Request
from parparchik.objects import Gateway
from parparchik.routes import Authenticator, presented_key
from tests.fakes_bytes import FakeBytes

KEY = "a-key-that-nobody-guesses"
EVERYTHING: tuple[tuple[str, Permission], ...] = (
    ("open", "read"),
    ("in", "write"),
    ("own", "all"),
)


class FakeCache:
    """Keeps nothing. `at_invalidation` has, for each, its name and what `look` said just then."""

    def __init__(self, look: Callable[[ObjectName], object] = lambda _: None) -> None:
        self._look = look
        self.at_invalidation: list[tuple[ObjectName, object]] = []

    @property
    def forgotten(self) -> list[ObjectName]:
        return [name for name, _ in self.at_invalidation]

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        raise AssertionError("the gateway reads by the delivery")

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        raise AssertionError("the gateway reads by the delivery")

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        raise AssertionError("the gateway reads by the delivery")

    def variant_nowait(self, found: Found, coding: Coding) -> Found | Absent | None:
        raise AssertionError("the gateway reads by the delivery")

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        raise AssertionError("the gateway changes one object at a time")

    async def invalidate(self, *names: ObjectName) -> int:
        await trio.lowlevel.checkpoint()
        self.at_invalidation += [(name, self._look(name)) for name in names]
        return len(names)


@dataclass
class FakeDelivery:
    """What a question asks of a `Deliverer`. Gives whole objects, straight from the buckets;
    `known` is what is in memory."""

    sources: Mapping[str, ObjectBytes]
    known: dict[ObjectName, Answer | Absent] = field(default_factory=dict)
    asked: list[Serving] = field(default_factory=list)

    def look(self, wishes: object, serving: Serving) -> Answer | Absent | None:
        return self.known.get(serving.name)

    async def find(self, wishes: object, serving: Serving) -> Answer | Absent:
        self.asked.append(serving)
        download = await self.sources[serving.name.bucket].open(serving.name.key)
        if download is None:
            return Absent("MISS")
        assert not isinstance(download, NotModified)
        body = bytearray()
        while piece := await download.read():
            body += piece
        await download.aclose()
        return Answer(200, ((b"x-cache", b"MISS"),), bytes(body), serving.kind)


class Body:
    """An Upload that remembers whether anybody has read of it."""

    def __init__(
        self, *pieces: bytes, size_bytes: int | None = None, announce: bool = True
    ) -> None:
        self._pieces = list(pieces)
        whole = sum(map(len, pieces))
        self.size_bytes = (whole if size_bytes is None else size_bytes) if announce else None
        self.read_bytes = 0
        self.asked_for = False

    @property
    def whole(self) -> bytes | None:
        """All of it, unless its size is unknown or a lie, or reading it is special."""
        data = b"".join(self._pieces)
        return data if type(self) is Body and self.size_bytes == len(data) else None

    async def read(self) -> bytes:
        self.asked_for = True
        await trio.lowlevel.checkpoint()
        piece = self._pieces.pop(0) if self._pieces else b""
        self.read_bytes += len(piece)
        return piece


class Stuck(Body):
    """One that never comes, until `gone` is raised for it."""

    def __init__(self) -> None:
        super().__init__(b"begun", size_bytes=1000)
        self.reading = trio.Event()

    async def read(self) -> bytes:
        if piece := await super().read():
            return piece
        self.reading.set()
        await trio.sleep_forever()
        raise AssertionError


Fields = Mapping[str, str]


def request(
    method: str, target: str | bytes, fields: Fields | None = None, *, key: str = ""
) -> Request:
    headers = tuple((n.lower().encode(), v.encode("latin-1")) for n, v in (fields or {}).items())
    if key:
        headers += ((b"authorization", b"Bearer " + key.encode()),)
    raw = target.encode() if isinstance(target, str) else target
    return Request(method, raw, presented_key(headers), headers)


class Scene:
    def __init__(
        self,
        *,
        config: ObjectsConfig | None = None,
        api_keys: tuple[str, ...] = (),
        reserving: Sequence[Bucket] = (),
        buckets: Sequence[str] = ("open", "in", "own"),
    ) -> None:
        self.config = config or ObjectsConfig(EVERYTHING)
        self.sources = {name: FakeBytes(name) for name in buckets}
        self.cache = FakeCache(lambda name: name.key in self.sources[name.bucket].objects)
        self.delivery = FakeDelivery(self.sources)
        self.policy = Policy()
        self.received: list[int] = []
        self.gateway = Gateway(
            self.config,
            self.sources,
            self.cache,
            cast("Deliverer", self.delivery),
            policy=self.policy,
            authenticator=Authenticator(AuthConfig(api_keys=api_keys)),
            reserving=reserving,
            received=self.received.append,
        )

    @property
    def own(self) -> FakeBytes:
        return self.sources["own"]

    async def ask(
        self, target: str | bytes, *, method: str = "GET", fields: Fields | None = None
    ) -> Answer:
        question = self.gateway.ask(request(method, target, fields))
        return question.answer_nowait() or await question.answer()

    async def act(
        self,
        method: str,
        target: str | bytes,
        body: Body | bytes = b"",
        fields: Fields | None = None,
        *,
        key: str = "",
    ) -> Answer:
        upload = Body(body) if isinstance(body, bytes) else body
        return await self.gateway.act(request(method, target, fields, key=key), upload)

    async def post(self, target: str, document: object, *, key: str = "") -> Answer:
        return await self.act("POST", target, json.dumps(document).encode(), key=key)


def told(answer: Answer) -> Any:
    """The JSON of an answer."""
    assert header(answer, "content-type") == "application/json"
    return json.loads(answer.body)


def header(answer: Answer, name: str) -> str | None:
    values = [value.decode() for given, value in answer.headers if given == name.encode()]
    assert len(values) < 2, f"{name} stands twice"
    return values[0] if values else None
