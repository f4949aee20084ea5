"""Every test asks of objects that are ready in memory, and of the same as they come in blocks."""

from __future__ import annotations

import pytest

from tests.delivery.scene import Scene

__all__ = ["memory", "scene"]


@pytest.fixture(params=[True, False], ids=["whole", "in blocks"])
def scene(request: pytest.FixtureRequest) -> Scene:
    scene = Scene()
    scene.cache.in_memory = request.param
    return scene


@pytest.fixture
def memory() -> Scene:
    """Ready in memory only."""
    return Scene()
