"""A moto with two buckets, a bare environment, and a front that counts what S3 is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import bare_environment, buckets, moto_endpoint
from tests.cli.moto_buckets import Buckets
from tests.contract.dedup import Tracker, tracking
from tests.contract.scene import Scene, Server, serving
from tests.real_s3.faults import FaultyFront, faulty_front

__all__ = ["bare_environment", "buckets", "front", "moto_endpoint", "scene"]


@pytest.fixture
def scene(buckets: Buckets) -> Scene:
    return Scene(buckets.endpoint, buckets.public, buckets.private)


@pytest.fixture
def front(scene: Scene) -> Iterator[FaultyFront]:
    """Stands before moto; give its `endpoint` to the server as S3_ENDPOINT."""
    with faulty_front(f"http://{scene.endpoint}") as front:
        yield front


@pytest.fixture
def gateway_environ(scene: Scene) -> dict[str, str]:
    """With the object gateway: one bucket to read, one for everything."""
    return scene.environ | {"ALLOWED_BUCKETS": f"{scene.first}:read,{scene.second}:all"}


@pytest.fixture
async def gateway(gateway_environ: dict[str, str]) -> AsyncIterator[Server]:
    async with serving(gateway_environ) as server:
        yield server


@pytest.fixture
async def tracker(scene: Scene, tmp_path: Path) -> AsyncIterator[Tracker]:
    """A server with a dedup store, as it is set up first."""
    async with tracking(scene, tmp_path) as tracker:
        yield tracker
