"""What S3 has lost: its files stay listed and fail to be read, never as if they were not there, and
whoever uploads the content again heals all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from parparchik.dedup.keys import Keys
from parparchik.dedup.receive import NOTHING_EXPECTED, Expected
from parparchik.errors import (
    ClaimLost,
    Denied,
    Truncated,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from tests.dedup.bed import DAY_S, Bed, digest_of, hint, laid, limits_of, packed
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_stores import STORES
from tests.dedup.mount_scene import file, hinted, mounted, refused
from tests.fakes_bytes import BytesAsked, FakeBytes, FakeUpload

pytestmark = pytest.mark.usefixtures("each_way")

DATA = b"what is lost " * 500
OTHER = b"what is not " * 500


async def lost(bed: Bed) -> int:
    return (await bed.metadata.totals()).lost


async def lose(bed: Bed) -> None:
    """Three files have DATA, and S3 loses it, which a reader finds."""
    for path in ("a", "b/c", "d"):
        await bed.put(path, DATA, 1)
    await bed.put("other", OTHER, 1)
    del bed.bucket.objects[bed.key(DATA)]
    with pytest.raises(UpstreamError, match="missing"):
        await bed.get("a")


async def listed(bed: Bed) -> list[str]:
    return [file.path async for page in bed.store.list("", until_s=10) for file in page]


WAYS = {
    "plain": {},
    "gzip": {"gzip": True},
    "hinted": {"gzip": True, "expected": hint(DATA)},
    "digest only": {"gzip": True, "expected": Expected(digest_of(DATA), None)},
}


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES)
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["a", "new"])
async def test_an_upload_heals_all_files_that_share_it(
    tmp_path: Path, opened: Any, memory_bytes: int, way: str, path: str
) -> None:
    async with (
        opened(tmp_path, Keys()) as metadata,
        laid(metadata, limits=limits_of(memory_bytes)) as bed,
    ):
        await lose(bed)
        assert await listed(bed) == ["a", "b/c", "d", "other"]
        with pytest.raises(UpstreamError) as raised:
            await bed.get("d")
        assert 500 <= raised.value.status < 600
        assert (await bed.put(path, DATA, 1, **WAYS[way])).done  # type: ignore[arg-type]
        for healed in ("a", "b/c", "d", path):
            assert await bed.get(healed) == DATA
            assert await bed.get(healed, gzip=True) is not None
        assert await lost(bed) == 0
        bed.late_s = 2 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.missing, report.unknown) == (0, 0)
        assert len(bed.bucket.objects) == 2
        stores = bed.bucket.count("store")
        await bed.put("once more", DATA, 1, **WAYS[way])  # type: ignore[arg-type]
        assert bed.bucket.count("store") == stores  # it is relied on again


@pytest.mark.parametrize(
    "error",
    [
        lambda: Unavailable("500"),
        lambda: Denied("403"),
        lambda: UpstreamTimeout("late"),
        lambda: UpstreamError("NoSuchBucket"),
    ],
)
async def test_a_failure_is_no_loss(error: Callable[[], UpstreamError]) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.failing["open"] = error
        with pytest.raises(UpstreamError):
            await bed.get("a")
        bed.bucket.failing.clear()
        bed.bucket.break_after[bed.key(DATA)] = 5
        with pytest.raises(Truncated):
            await bed.get("a")
        bed.bucket.break_after.clear()
        assert await lost(bed) == 0
        await bed.put("b", DATA)
        assert bed.bucket.count("store") == 1
        assert bed.store.statistics().counters.missing == 0


async def test_another_object_in_its_place_is_a_loss() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.put(bed.key(DATA), b"something else")
        with pytest.raises(UpstreamError, match="another size"):
            await bed.get("a")
        await bed.put("b", DATA)
        assert await bed.get("a") == await bed.get("b") == DATA
        await bed.cleaner().clean()
        assert bed.key(DATA) not in bed.bucket.objects


async def test_an_object_that_comes_back_is_read() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        away = bed.bucket.objects.pop(bed.key(DATA))
        with pytest.raises(UpstreamError, match="missing"):
            await bed.get("a")
        bed.bucket.objects[bed.key(DATA)] = away
        assert await bed.get("a") == DATA


async def test_a_blob_that_was_collected_rightly_is_not_lost() -> None:
    async with laid() as bed:
        await bed.put("a", DATA, 1)

        async def at(point: str, asked: BytesAsked) -> None:
            if (asked.operation, point) == ("open", "arriving") and asked.key == bed.key(DATA):
                bed.bucket.at = None
                await bed.put("a", OTHER, 2)
                bed.bucket.objects.pop(bed.key(DATA))

        bed.bucket.at = at
        assert await bed.get("a") == OTHER
        assert await lost(bed) == 0


async def test_the_upload_that_heals_may_fail_and_come_again() -> None:
    async with laid() as bed:
        await lose(bed)
        bed.bucket.failing["store"] = lambda: Unavailable("500")
        with pytest.raises(Unavailable):
            await bed.put("a", DATA, 1)
        assert await lost(bed) == 1
        assert await listed(bed) == ["a", "b/c", "d", "other"]
        bed.bucket.failing.clear()
        await bed.put("a", DATA, 1)
        assert await bed.get("d") == DATA


async def test_metadata_that_is_away_leaves_it_to_the_next_reader() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.objects.clear()
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)

        async def away(*_: object, **__: object) -> bool:
            raise Unavailable("away")

        marking = metadata.mark_lost
        metadata.mark_lost = away  # type: ignore[method-assign]
        with pytest.raises(UpstreamError, match="missing"):
            await bed.get("a")
        metadata.mark_lost = marking  # type: ignore[method-assign]
        with pytest.raises(UpstreamError, match="missing"):
            await bed.get("a")
        assert await lost(bed) == 1


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, hint(DATA)], ids=["plain", "hinted"])
async def test_what_is_lost_while_an_upload_relies_on_it(expected: Expected) -> None:
    """What was spooled is stored; what was not, as it seemed to be there, is not referred to, and
    the client is told to send it again."""
    async with laid(limits=limits_of(10)) as bed:
        await bed.put("a", DATA)

        class Losing(FakeUpload):
            async def read(self) -> bytes:
                piece = await super().read()
                if not piece and bed.key(DATA) in bed.bucket.objects:
                    del bed.bucket.objects[bed.key(DATA)]
                    with pytest.raises(UpstreamError):
                        await bed.get("a")
                return piece

        body = packed(DATA)
        upload: FakeUpload = Losing(body, size_bytes=len(body))
        if expected.digest:
            with pytest.raises(ClaimLost) as raised:
                await bed.put("b", DATA, gzip=True, expected=expected, upload=upload)
            assert (raised.value.status, raised.value.retry_after_s) == (503, 1)
            assert await bed.store.stat("b") is None
            upload = FakeUpload(body, size_bytes=len(body))
        await bed.put("b", DATA, gzip=True, expected=expected, upload=upload)
        assert await bed.get("a") == await bed.get("b") == DATA


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, hint(DATA)], ids=["plain", "hinted"])
async def test_what_is_lost_while_it_comes_in_is_stored_from_memory(expected: Expected) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)

        class Losing(FakeUpload):
            async def read(self) -> bytes:
                piece = await super().read()
                if not piece and bed.key(DATA) in bed.bucket.objects:
                    del bed.bucket.objects[bed.key(DATA)]
                    with pytest.raises(UpstreamError):
                        await bed.get("a")
                return piece

        body = packed(DATA)
        upload = Losing(body, size_bytes=len(body))
        assert (await bed.put("b", DATA, gzip=True, expected=expected, upload=upload)).done
        assert await bed.get("a") == await bed.get("b") == DATA
        assert await lost(bed) == 0


async def test_many_heal_it_at_once() -> None:
    async with laid() as bed:
        await lose(bed)

        async def jitter(point: str, asked: BytesAsked) -> None:
            for _ in range(len(bed.bucket.asked) % 4):
                await trio.lowlevel.checkpoint()

        bed.bucket.at = jitter
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(bed.put, f"many/{number}", DATA, 1)
        for path in ("a", "b/c", "d", *(f"many/{number}" for number in range(20))):
            assert await bed.get(path) == DATA
        bed.late_s = 2 * DAY_S
        await bed.cleaner().clean()
        assert len(bed.bucket.objects) == 2
        assert await bed.metadata.integrity() == []


async def test_what_a_client_sees() -> None:
    async with mounted() as scene:
        for path in ("a", "b"):
            await scene.put(path, DATA, 100)
        scene.bucket.objects.clear()
        assert "missing" in refused(await scene.ask("files/a"), 502)
        assert (await scene.head("a")).status == 200  # it is a file, in that version
        assert await scene.listed() == ["a", "b"]
        answer = await scene.act("PUT", file("b", 100), packed(DATA), hinted(DATA))
        assert answer.status == 200
        assert await scene.data("a") == await scene.data("b") == DATA
        assert await scene.listed() == ["a", "b"]


async def test_the_cleaner_finds_what_nobody_reads() -> None:
    bucket = FakeBytes()
    async with laid(bucket=bucket) as bed:
        await bed.put("a", DATA)
        await bed.put("b", OTHER)
        del bucket.objects[bed.key(DATA)]
        assert (await bed.cleaner().clean(dry_run=True)).missing == 1
        assert await lost(bed) == 0
        assert (await bed.cleaner().clean()).missing == 1
        assert await lost(bed) == 1
        await bed.put("c", DATA)
        assert await bed.get("a") == DATA
        assert (await bed.cleaner().clean()).missing == 0
