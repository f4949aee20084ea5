"""Every store of metadata there is, one after another, opened anew and empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parparchik.dedup.types import Metadata
from tests.dedup.metadata_scene import KEYS
from tests.dedup.metadata_stores import STORES
from tests.dedup.redis_process import end_shared_redis


@pytest.fixture(params=STORES)
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metadata]:
    async with STORES[request.param](tmp_path, KEYS) as store:
        yield store


@pytest.fixture(scope="session", autouse=True)
def _no_redis_is_left() -> Iterator[None]:
    yield
    end_shared_redis()
