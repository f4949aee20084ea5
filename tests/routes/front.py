"""A responder on fake buckets, asked as a plane asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parparchik.config import AuthConfig, RoutesConfig
from parparchik.model import Answer, Bucket, Method, Request
from parparchik.registry import Service
from parparchik.routes import Relay, Responder
from tests.fakes import NOW_S, FakeBucket

FILES = Bucket("files", public=True)
VAULT = Bucket("vault")
KEY = b"open sesame"


class Clock:
    """The wall clock, put where a test wants it."""

    def __init__(self) -> None:
        self.now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Site:
    files: FakeBucket
    vault: FakeBucket
    service: Service
    responder: Responder
    clock: Clock

    async def answer(
        self, target: bytes | str, *, method: Method = "GET", key: bytes = b""
    ) -> Answer:
        request = Request(method, target.encode() if isinstance(target, str) else target, key)
        question = self.responder.ask(request)
        nowait = question.answer_nowait()
        return await question.answer() if nowait is None else nowait

    async def location(self, target: bytes | str, *, method: Method = "GET") -> str:
        answer = await self.answer(target, method=method)
        assert answer.status == 302, answer
        return header(answer, b"location")

    async def status(self, target: bytes | str, *, key: bytes = b"") -> int:
        return (await self.answer(target, key=key)).status


def site(
    files: str = "",
    vault: str = "",
    *,
    keys: tuple[str, ...] = (),
    buckets: tuple[Bucket, Bucket] = (FILES, VAULT),
    relays: Mapping[str, Relay] | None = None,
    **settings: Any,
) -> Site:
    """A public bucket before a private one, with the keys (separated by spaces) that they hold."""
    clock = Clock()
    stores = FakeBucket(buckets[0], *files.split()), FakeBucket(buckets[1], *vault.split())
    for store in stores:
        store.now = clock
    config = RoutesConfig(**settings)
    service = Service(stores, config, now=clock)
    auth = AuthConfig(api_keys=keys)
    responder = Responder(service, stores, config, auth, relays=relays, now=clock)
    return Site(*stores, service, responder, clock)


def header(answer: Answer, name: bytes) -> str:
    (value,) = [value for found, value in answer.headers if found == name]
    return value.decode("ascii")


def body(answer: Answer) -> dict[str, Any]:
    assert header(answer, b"content-type") == "application/json"
    assert header(answer, b"cache-control") == "no-store"
    document: dict[str, Any] = json.loads(answer.body)
    return document
