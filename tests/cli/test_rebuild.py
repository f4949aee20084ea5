"""`manifest rebuild` when S3 fails half-way, and when somebody else writes meanwhile."""

from __future__ import annotations

import pytest

from parparchik.cli.rebuild import rebuild_manifests
from parparchik.config import RoutesConfig
from parparchik.errors import Unavailable
from parparchik.registry import PersistFailed
from tests.fakes import FakeBucket, denied


async def test_half_a_listing_writes_nothing() -> None:
    first, second = FakeBucket("first", "a", "b"), FakeBucket("second", "c")
    first.add_manifest("a")
    second.fail(lambda: Unavailable("away"), "list")
    with pytest.raises(Unavailable):
        await rebuild_manifests([first, second], RoutesConfig(), dry_run=False)
    assert first.manifest_keys == {"a"}
    assert second.manifest is None


async def test_what_another_process_writes_meanwhile_is_kept() -> None:
    bucket = FakeBucket("files", "a")
    bucket.add_manifest("a", "gone")

    def somebody_adds(operation: str, key: str) -> None:
        if operation == "list":
            bucket.add("new")
            bucket.add_manifest("a", "gone", "new")

    bucket.on_request = somebody_adds
    await rebuild_manifests([bucket], RoutesConfig(), dry_run=False)
    assert "new" in bucket.manifest_keys


async def test_a_manifest_that_cannot_be_written_is_a_failure() -> None:
    bucket = FakeBucket("files", "a")
    bucket.fail(denied, "put")
    with pytest.raises(PersistFailed):
        await rebuild_manifests([bucket], RoutesConfig(), dry_run=False)


async def test_a_dry_run_asks_and_writes_nothing() -> None:
    bucket = FakeBucket("files", "a")
    (told,) = await rebuild_manifests([bucket], RoutesConfig(), dry_run=True)
    assert (told.outcome, told.count) == ("to write, there was none", 1)
    assert bucket.requests["put"] == 0
