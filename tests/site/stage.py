"""A site before a bucket in memory; cache and delivery are fakes that keep to the seams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from parparchik.cache import Absent, Coding, Policy, Status, Wanted
from parparchik.config.model import AuthConfig, SiteConfig
from parparchik.content import NotModified, ObjectName, Representation, Span
from parparchik.delivery import Serving, Wishes
from parparchik.errors import UpstreamError
from parparchik.model import Answer, Content, Headers, Request
from parparchik.routes import Authenticator, presented_key
from parparchik.site import Site
from tests.fakes_bytes import FakeBytes, FakeUpload


@dataclass(frozen=True, slots=True)
class FakeFound:
    name: ObjectName
    representation: Representation
    body: bytes
    at_s: float
    policy: Policy
    status: Status = "HIT"

    @property
    def age_s(self) -> int:
        return int(trio.current_time() - self.at_s)

    @property
    def fresh_for_s(self) -> float:
        return self.at_s + self.policy.ttl_s - trio.current_time()

    def content(self, span: Span) -> Content:
        raise AssertionError("the body is at hand: nobody has to read it")

    def content_nowait(self, span: Span) -> None:
        raise AssertionError("the body is at hand: nobody has to read it")


class FakeCache:
    """Keeps everything that `source` has for the policy's TTLs; serves no coded variants."""

    def __init__(self, source: FakeBytes) -> None:
        self.source = source
        self.kept: dict[ObjectName, tuple[float, FakeFound | Absent]] = {}

    def find_nowait(self, name: ObjectName, policy: Policy) -> FakeFound | Absent | None:
        until_s, known = self.kept.get(name, (0.0, None))
        return known if trio.current_time() < until_s else None

    async def find(self, name: ObjectName, policy: Policy, wanted: Wanted) -> FakeFound | Absent:
        if (known := self.find_nowait(name, policy)) is not None:
            return known
        now_s = trio.current_time()
        try:
            download = await self.source.open(name.key)
        except UpstreamError:
            stale = self.kept.get(name, (0.0, None))[1]
            if isinstance(stale, FakeFound):
                return stale
            raise
        if download is None:
            self.kept[name] = now_s + policy.negative_ttl_s, Absent()
            return Absent("MISS")
        assert not isinstance(download, NotModified)
        body = b""
        while piece := await download.read():
            body += piece
        await download.aclose()
        found = FakeFound(name, download.representation, body, now_s, policy)
        self.kept[name] = now_s + policy.ttl_s, found
        return found

    async def variant(self, found: object, coding: Coding, make: object) -> None:
        return None

    def variant_nowait(self, found: object, coding: Coding) -> Absent:
        return Absent()

    async def invalidate(self, *names: ObjectName) -> int:
        return sum(self.kept.pop(name, None) is not None for name in names)

    async def invalidate_prefix(self, bucket: str, prefix: str) -> int:
        mine = [n for n in self.kept if n.bucket == bucket and n.key.startswith(prefix)]
        for name in mine:
            del self.kept[name]
        return len(mine)


class FakeDelivery:
    """Whole objects with the headers that the site has a say in."""

    def __init__(self, cache: FakeCache) -> None:
        self.cache = cache
        self.last: tuple[FakeFound, Serving, Answer] | None = None

    def look(self, wishes: Wishes, serving: Serving) -> Answer | Absent | None:
        found = self.cache.find_nowait(serving.name, serving.policy)
        return self._dress(found, serving) if isinstance(found, FakeFound) else found

    async def find(self, wishes: Wishes, serving: Serving) -> Answer | Absent:
        found = await self.cache.find(serving.name, serving.policy, "whole")
        return self._dress(found, serving) if isinstance(found, FakeFound) else found

    def _dress(self, found: FakeFound, serving: Serving) -> Answer:
        if self.last and self.last[0] is found and self.last[1] is serving:
            return self.last[2]
        added = {name for name, _ in serving.headers}
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", found.representation.content_type.encode()),
            (b"etag", found.representation.etag.encode()),
        ]
        headers = [header for header in headers if header[0] not in added]
        if serving.default_max_age_s is not None:
            headers.append((b"cache-control", b"max-age=%d" % serving.default_max_age_s))
        answer = Answer(serving.status, (*headers, *serving.headers), found.body, serving.kind)
        self.last = found, serving, answer
        return answer


API_KEY = "a-key-that-nobody-guesses"


class Stage:
    """`put` stores, `get` asks as a client does: memory first, then S3."""

    def __init__(
        self,
        config: SiteConfig,
        *,
        api_keys: tuple[str, ...] = (),
        hides: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self.bytes = FakeBytes(config.bucket)
        self.cache = FakeCache(self.bytes)
        self.site = Site(
            config,
            self.bytes,
            self.cache,
            FakeDelivery(self.cache),
            policy=Policy(ttl_s=300.0),
            authenticator=Authenticator(AuthConfig(api_keys)),
            hides=hides,
        )

    def put(self, *keys: str, content_type: str = "text/html") -> None:
        for key in keys:
            self.bytes.put(key, f"<{key}>".encode(), content_type=content_type)

    async def get(self, target: str | bytes, method: str = "GET", **headers: str) -> Answer:
        question = self.site.ask(request(target, method, **headers))
        answer = question.answer_nowait()
        return await question.answer() if answer is None else answer

    async def act(self, method: str, target: str, **headers: str) -> Answer:
        return await self.site.act(request(target, method, **headers), FakeUpload())

    async def path_served(self, target: str, **headers: str) -> str:
        """The key whose bytes answer, or the status."""
        answer = await self.get(target, **headers)
        served = answer.status == 200 and answer.body.startswith(b"<") and answer.body[1:2] != b"!"
        return answer.body.decode()[1:-1] if served else str(answer.status)


def stage(
    *keys: str,
    api_keys: tuple[str, ...] = (),
    hides: Callable[[str], bool] = lambda key: False,
    **settings: object,
) -> Stage:
    staged = Stage(SiteConfig(bucket="web", **settings), api_keys=api_keys, hides=hides)  # type: ignore[arg-type]
    staged.put(*keys)
    return staged


def request(target: str | bytes, method: str = "GET", **headers: str) -> Request:
    raw = target.encode("ascii") if isinstance(target, str) else target
    given: Headers = tuple(
        (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
    )
    return Request(method, raw, presented_key(given), given)


def header(answer: Answer, name: str) -> str:
    return ", ".join(v.decode("latin-1") for n, v in answer.headers if n == name.encode())
