"""Services on fake buckets, and requests to them."""

from __future__ import annotations

from typing import Any

import trio

from parparchik.config import RoutesConfig
from parparchik.errors import UpstreamError
from parparchik.model import Bucket
from parparchik.registry import Resolution, Service
from parparchik.registry.entries import pack
from tests.fakes import NOW_S, FakeBucket

FIRST = Bucket("first", public=True)
SECOND = Bucket("second")


def service_on(*stores: FakeBucket, **settings: Any) -> Service:
    return Service(stores, RoutesConfig(**settings), now=lambda: NOW_S)


def register(service: Service, index: int, *keys: str) -> None:
    """Entries as a manifest of bucket `index` would bring them."""
    service.registry.load(index, [(key, pack(index, 0, NOW_S)) for key in keys])


async def ask(service: Service, key: str) -> Resolution:
    """As a request does: what memory has, else what S3 says."""
    known = service.resolve_nowait(key)
    return await service.resolve(key) if known is None else known


async def where(service: Service, key: str) -> str | None:
    """The name of the bucket that a request would be sent to; None: 404."""
    entry = (await ask(service, key)).entry
    return None if entry is None else entry.bucket.name


class Crowd:
    """Requests at the same time, and what became of each."""

    def __init__(self, service: Service) -> None:
        self.answers: list[Resolution] = []
        self.errors: list[UpstreamError] = []
        self._service = service

    async def request(self, key: str) -> None:
        try:
            self.answers.append(await ask(self._service, key))
        except UpstreamError as error:
            self.errors.append(error)

    async def requests(self, *keys: str) -> None:
        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(self.request, key)
