"""A site as it is put together for service, cache and delivery and all, before a bucket in memory.

Its clocks are trio's, so that time passes as a test says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from parparchik.cache import ObjectCache, Policy
from parparchik.config.model import AuthConfig, CacheConfig, SiteConfig
from parparchik.delivery import Deliverer
from parparchik.model import Answer, FileBlock, Headers, Request
from parparchik.routes import Authenticator, presented_key
from parparchik.site import Site
from tests.fakes_bytes import NOW_S, FakeBytes, FakeUpload

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client has when all has come."""

    status: int
    headers: Headers
    body: bytes

    def __getitem__(self, name: str) -> str:
        found = [value for given, value in self.headers if given == name.encode()]
        return b", ".join(found).decode("latin-1")


@dataclass(frozen=True, slots=True)
class SiteScene:
    bytes: FakeBytes
    cache: ObjectCache
    site: Site

    async def answer(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """As the edge asks: memory first."""
        question = self.site.ask(request(target, method, headers))
        return question.answer_nowait() or await question.answer()

    async def get(self, target: str, method: str = "GET", **headers: str) -> Reply:
        answer = await self.answer(target, method, **headers)
        body = answer.body
        if answer.content is not None:
            body = b""
            try:
                while (block := await answer.content.read()) is not None:
                    assert not isinstance(block, FileBlock)
                    body += block
            finally:
                answer.content.close()
        elif method == "HEAD":
            body = b""
        return Reply(answer.status, answer.headers, body)

    async def act(self, method: str, target: str, **headers: str) -> Reply:
        answer = await self.site.act(request(target, method, headers), FakeUpload())
        return Reply(answer.status, answer.headers, answer.body)


def request(target: str, method: str, headers: dict[str, str]) -> Request:
    given = tuple((n.replace("_", "-").encode(), v.encode()) for n, v in headers.items())
    return Request(method, target.encode("ascii"), presented_key(given), given)


def wall_clock() -> float:
    return NOW_S + trio.current_time()


@asynccontextmanager
async def serving(
    *, cache: CacheConfig | None = None, bucket: FakeBytes | None = None, **settings: object
) -> AsyncIterator[SiteScene]:
    bucket = bucket or FakeBytes("web")
    config = cache or CacheConfig()
    site = SiteConfig(bucket="web", **settings)  # type: ignore[arg-type]
    objects = ObjectCache(config, {bucket.name: bucket}, now=wall_clock)
    delivery = Deliverer(objects, compress_max_bytes=config.compress_max_bytes, now=wall_clock)
    policy = Policy(ttl_s=config.ttl_s)
    authenticator = Authenticator(AuthConfig())
    async with trio.open_nursery() as nursery:
        await nursery.start(objects.run)
        yield SiteScene(
            bucket,
            objects,
            Site(site, bucket, objects, delivery, policy=policy, authenticator=authenticator),
        )
        nursery.cancel_scope.cancel()
    assert bucket.reading == 0, "a body was left open"
