"""Every store of metadata there is, one after another, opened anew and empty."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parparchik.dedup.types import Metadata
from tests.dedup.bed import Bed
from tests.dedup.metadata_scene import KEYS, Way
from tests.dedup.metadata_stores import STORES
from tests.dedup.mount_scene import MountScene
from tests.dedup.redis_process import RedisProcess, end_shared_redis
from tests.dedup.redis_scene import Started


@pytest.fixture(params=STORES)
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metadata]:
    async with STORES[request.param](tmp_path, KEYS) as store:
        yield store


@pytest.fixture(params=["in a task", "without"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put goes in a task, and then without one, where that can be."""
    for way in (Bed, Way):
        monkeypatch.setattr(way, "is_soon", request.param == "without")
    monkeypatch.setattr(MountScene, "is_soon", request.param == "without")


@pytest.fixture(scope="session", autouse=True)
def _no_redis_is_left() -> Iterator[None]:
    yield
    end_shared_redis()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    servers: list[RedisProcess] = []

    def start(*options: str) -> RedisProcess:
        server = RedisProcess(tmp_path / f"redis{len(servers)}", *options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
    gc.collect()  # here, where that is no error
