"""The transport, and httpx on top of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import get_args

import httpx
import pytest
import trio

from parparchik.s3 import S3Client
from parparchik.s3 import multipart as multipart_module
from parparchik.s3.transport import Transport
from tests.s3.errand_scene import Opened, running
from tests.s3.fake_multipart import PART
from tests.s3.fake_s3 import QUICK
from tests.s3.small_scene import Start, Way


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
def transport(tls: ssl.SSLContext) -> Iterator[Transport]:
    transport = Transport(tls, max_connections=4)
    yield transport
    transport.close()


@pytest.fixture
async def opened(nursery: trio.Nursery, transport: Transport) -> AsyncIterator[Opened]:
    async with running(transport):
        yield Opened(nursery, transport)


@pytest.fixture
async def client(transport: Transport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as client:
        yield client


@pytest.fixture
def s3() -> Iterator[S3Client]:
    """Our client, with little patience."""
    client = S3Client(QUICK)
    yield client
    client.close()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_module, "PART_BYTES", PART)
    monkeypatch.setattr(multipart_module, "LARGE_PART_BYTES", 2 * PART)


@pytest.fixture(params=get_args(Way))
async def start(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Start]:
    start = Start(nursery, request.param)
    yield start
    start.close()


@pytest.fixture(params=["reactor", "task"])
async def start_waiting(
    request: pytest.FixtureRequest, nursery: trio.Nursery
) -> AsyncIterator[Start]:
    """Where a task waits, which can be cancelled."""
    start = Start(nursery, request.param)
    yield start
    start.close()
