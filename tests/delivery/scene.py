"""A cache of a few objects, and a client that sees of an answer what came over the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from parparchik.cache import Absent, Coding, Found, Policy, Status, Wanted
from parparchik.content import ObjectName, Representation, Span
from parparchik.delivery import Deliverer, Serving
from parparchik.errors import Truncated, UpstreamError
from parparchik.model import Answer, FileBlock, Request

NOW_S = 1_780_000_000
MODIFIED_S = 784_111_777
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"


class FakeContent:
    """Bytes in blocks of seven, of which `read_bytes` counts the sum."""

    def __init__(self, owner: FakeFound, data: bytes) -> None:
        self._owner = owner
        self._left = data
        self._closed = False
        owner.open_contents += 1

    def read_nowait(self) -> bytes | None:
        raise BlockingIOError

    async def read(self) -> bytes | None:
        assert not self._closed, "read after close"
        await trio.lowlevel.checkpoint()
        if self._owner.breaks:
            raise Truncated("S3 broke off")
        block, self._left = self._left[:7], self._left[7:]
        self._owner.read_bytes += len(block)
        return block or None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._owner.open_contents -= 1


@dataclass(eq=False)
class FakeFound:
    name: ObjectName
    representation: Representation
    data: bytes
    status: Status = "HIT"
    age_s: int = 0
    fresh_for_s: float = 300.0
    in_memory: bool = True
    breaks: bool = False
    at_hand: bool = False
    open_contents: int = 0
    read_bytes: int = 0
    spans: list[Span] = field(default_factory=list)

    @property
    def body(self) -> bytes | None:
        return self.data if self.in_memory else None

    def content(self, span: Span) -> FakeContent:
        assert 0 <= span.first <= span.last + 1 <= len(self.data)
        self.spans.append(span)
        return FakeContent(self, self.data[span.first : span.last + 1])

    def content_nowait(self, span: Span) -> FakeContent | None:
        return self.content(span) if self.at_hand else None


class FakeCache:
    """`objects` are S3's; those `known` are found without asking it. `asked` has what was wanted
    of S3, `made` the codings that were made. With `in_memory` False no body is ready. `when_asked`
    is called before S3 answers."""

    def __init__(self) -> None:
        self.objects: dict[ObjectName, FakeFound] = {}
        self.known: set[ObjectName] = set()
        self.gone: set[ObjectName] = set()
        self.variants: dict[tuple[ObjectName, str, str], FakeFound | None] = {}
        self.asked: list[Wanted] = []
        self.made: list[Coding] = []
        self.in_memory = True
        self.failure: UpstreamError | None = None
        self.when_asked: Callable[[], None] | None = None

    def find_nowait(self, name: ObjectName, policy: Policy) -> Found | Absent | None:
        if name in self.gone:
            return Absent()
        return self.objects[name] if name in self.known else None

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> Found | Absent:
        await trio.lowlevel.checkpoint()
        if self.when_asked is not None:
            self.when_asked()
        if name not in self.known:
            self.asked.append(wanted)
        if self.failure is not None:
            raise self.failure
        if name not in self.objects:
            return Absent("MISS")
        return self.objects[name]

    async def variant(
        self, found: Found, coding: Coding, make: Callable[[Sequence[bytes]], bytes]
    ) -> Found | None:
        await trio.lowlevel.checkpoint()
        of = self.objects[found.name]
        key = (found.name, found.representation.etag, coding)
        if key not in self.variants:
            self.made.append(coding)
            data = make([of.data[:100], of.data[100:]])
            made = replace(
                of, data=data, representation=replace(of.representation, size_bytes=len(data))
            )
            self.variants[key] = made if len(data) < len(of.data) else None
        return self.variants[key]

    def variant_nowait(self, found: Found, coding: Coding) -> Found | Absent | None:
        key = (found.name, found.representation.etag, coding)
        return (self.variants[key] or Absent()) if key in self.variants else None

    async def invalidate(self, *names: ObjectName) -> int:
        raise AssertionError("delivery never writes")

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        raise AssertionError("delivery never writes")


@dataclass(frozen=True)
class Got:
    """`body` is what was read, `length` what Content-Length says. A field in several lines is
    joined."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int

    def __getitem__(self, name: str) -> str:
        return self.headers[name]


class Scene:
    def __init__(self) -> None:
        self.cache = FakeCache()
        self.now_s = float(NOW_S)
        self.deliverer = Deliverer(self.cache, compress_max_bytes=1 << 20, now=lambda: self.now_s)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        etag: str = '"abc"',
        content_type: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        known: bool = True,
        modified_s: int = MODIFIED_S,
    ) -> FakeFound:
        name = ObjectName("bucket", key)
        representation = Representation(len(data), modified_s, etag, content_type, headers)
        found = FakeFound(name, representation, data, in_memory=self.cache.in_memory)
        self.cache.objects[name] = found
        if known:
            self.cache.known.add(name)
        return found

    async def get(self, serving: Serving, method: str = "GET", **fields: str) -> Got:
        """Asks as a plane does: at once, else with patience. `if_none_match` is If-None-Match."""
        request = request_with(method, **fields)
        answer = self.deliverer.answer_nowait(request, serving)
        if answer is None:
            answer = await self.deliverer.answer(request, serving)
        assert isinstance(answer, Answer), answer
        return await receive(answer, head=method == "HEAD")


def serving(key: str, **settings: object) -> Serving:
    return replace(Serving(ObjectName("bucket", key), Policy(), "test"), **settings)  # type: ignore[arg-type]


def request_with(method: str = "GET", **fields: str) -> Request:
    headers = tuple(
        (name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()
    )
    return Request(method, b"/x", headers=headers)


async def receive(answer: Answer, *, head: bool = False) -> Got:
    body = answer.body
    if answer.content is not None:
        assert not body
        assert not head, "an answer to HEAD holds a body open"
        pieces = []
        while (block := await answer.content.read()) is not None:
            assert not isinstance(block, FileBlock)
            pieces.append(bytes(block))
        answer.content.close()
        answer.content.close()
        body = b"".join(pieces)
    if head or answer.status == 304:
        assert body == b""
    else:
        assert len(body) == answer.size_bytes
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        assert name == name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Got(answer.status, headers, body, answer.size_bytes)
