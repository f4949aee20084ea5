"""The local endpoint, and the HTTP client that the sources are handed when we serve."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import trio

from parparchik.config.model import S3Config
from parparchik.s3 import S3Client
from tests.s3.credentials.endpoint_server import EndpointServer, endpoint_server


@pytest.fixture
def endpoint() -> Iterator[EndpointServer]:
    with endpoint_server() as server:
        yield server


@pytest.fixture
async def client(nursery: trio.Nursery) -> httpx.AsyncClient:
    s3 = S3Client(S3Config())
    await nursery.start(s3.run)
    return s3.http
