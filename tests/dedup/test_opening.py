"""The metadata store of the settings, opened by a task; and whether it works."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from parparchik.dedup import Keys, OpenedMetadata, StoreHealth
from parparchik.dedup.opening import PATIENCE_S, place_of, sqlite_file
from parparchik.errors import ConfigError, MetadataUnavailable, Unavailable
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import BytesAsked, FakeBytes


def test_three_slashes_are_relative_and_four_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_file("sqlite:///files.db") == tmp_path / "files.db"
    assert sqlite_file("sqlite:////etc/files.db") == Path("/etc/files.db")


def test_a_directory_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"/nowhere does not exist$"):
        OpenedMetadata("sqlite:////nowhere/files.db", Keys())
    with pytest.raises(ConfigError, match="var/lib does not exist; sqlite://// begins an abs"):
        OpenedMetadata("sqlite:///var/lib/files.db", Keys())
    with pytest.raises(ConfigError, match="is a directory"):
        OpenedMetadata(f"sqlite:///{tmp_path}", Keys())


def test_a_store_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="PARPARCHIK_DEDUP_METADATA: this edition has no store"):
        OpenedMetadata("papyrus://host/0", Keys())


def test_a_password_is_not_shown() -> None:
    assert place_of("redis://user:hunter2@host:1/0") == "redis://host:1/0"


async def test_what_comes_before_it_is_open_waits(tmp_path: Path) -> None:
    metadata = OpenedMetadata(f"sqlite:///{tmp_path}/files.db", Keys())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metadata.run)
        assert await metadata.get("a") is None
        assert [page async for page in metadata.list("", until_s=0)] == []
        await metadata.check()
        nursery.cancel_scope.cancel()
    assert metadata.asked["get"].count == 1
    # And again, as when its task is started anew.
    async with trio.open_nursery() as nursery:
        await nursery.start(metadata.run)
        assert (await metadata.totals()).files == 0
        nursery.cancel_scope.cancel()


async def test_it_does_not_wait_forever(tmp_path: Path, autojump_clock: object) -> None:
    metadata = OpenedMetadata(f"sqlite:///{tmp_path}/files.db", Keys())
    began_s = trio.current_time()
    with pytest.raises(MetadataUnavailable, match="not open") as error:
        await metadata.get("a")
    assert trio.current_time() - began_s == PATIENCE_S
    assert str(tmp_path) not in error.value.client_message


class Slow(FakeMetadata):
    asked = 0

    async def check(self) -> None:
        self.asked += 1
        await trio.sleep(60)


async def test_health(autojump_clock: object) -> None:
    metadata, bucket = FakeMetadata(), FakeBytes("dedup")
    health = StoreHealth(metadata, bucket, "blobs/")
    assert await health.check() == {"metadata": "ok", "s3": "ok"}
    assert bucket.asked == [BytesAsked("list", "blobs/")]
    metadata.broken = True
    assert await health.check() == {"metadata": "ok", "s3": "ok"}  # a second has not passed
    await trio.sleep(1.1)
    found = await health.check()
    assert found["metadata"].startswith("the metadata store ")
    assert found["s3"] == "ok"
    metadata.broken = False
    bucket.failing["list"] = lambda: Unavailable("S3 is away")
    await trio.sleep(1.1)
    assert await health.check() == {"metadata": "ok", "s3": "S3 is away"}


async def test_health_takes_no_longer_than_a_probe_and_asks_once_for_all(
    autojump_clock: object,
) -> None:
    metadata = Slow()
    health = StoreHealth(metadata, FakeBytes("dedup"), "")
    began_s = trio.current_time()
    found = []

    async def check() -> None:
        found.append(await health.check())

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(check)
    assert trio.current_time() - began_s == 2
    assert found == [{"metadata": "no answer within 2 s", "s3": "ok"}] * 20
    assert metadata.asked == 1
