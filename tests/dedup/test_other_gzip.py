"""Where S3 has the content of a blob as another gzip than was stored: two processes stored the same
at the same time. It is read, and its size is set right; what only claims to be it is lost."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from parparchik.dedup.blobs import storing_of
from parparchik.dedup.keys import Keys
from parparchik.dedup.types import Blob, Metadata
from parparchik.dedup.verify import Verifier
from parparchik.errors import MetadataUnavailable, UpstreamError
from tests.dedup.bed import DAY_S, Bed, digest_of, laid, packed, read_all
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_stores import STORES
from tests.dedup.mount_scene import mounted
from tests.fakes_bytes import FakeBytes
from tests.objects.scene import header

pytestmark = pytest.mark.usefixtures("each_way")

DATA = b"the same, packed by two " * 300
OTHER = b"something else " * 300
ANOTHER_GZIP = gzip.compress(DATA, 9, mtime=0) + packed(b"")


def store_at(bucket: FakeBytes, key: str, data: bytes, digest: str, logical_bytes: int) -> None:
    bucket.put(key, data, headers=storing_of(digest, logical_bytes).headers)


def replace(bed: Bed) -> None:
    """The second of two processes is done with storing it."""
    store_at(bed.bucket, bed.key(DATA), ANOTHER_GZIP, digest_of(DATA), len(DATA))


async def blob_of(metadata: Metadata, path: str) -> Blob:
    file = await metadata.get(path)
    assert file is not None
    return file.blob


@pytest.mark.parametrize("opened", STORES.values(), ids=STORES)
@pytest.mark.parametrize("is_gzip", [True, False])
async def test_it_is_read_and_its_size_is_set_right(
    tmp_path: Path, opened: Any, is_gzip: bool
) -> None:
    async with opened(tmp_path, Keys()) as metadata, laid(metadata) as bed:
        for path in ("a", "b"):
            await bed.put(path, DATA)
        await bed.put("c", OTHER)
        before = await metadata.totals()
        old = (await blob_of(metadata, "a")).stored_bytes
        assert old != len(ANOTHER_GZIP)
        replace(bed)
        opened_file = await bed.store.open("a", gzip=is_gzip)
        assert opened_file is not None
        assert opened_file.file.blob.stored_bytes == len(ANOTHER_GZIP)
        body = await read_all(opened_file.content)
        assert body == (ANOTHER_GZIP if is_gzip else DATA)
        assert len(body) == opened_file.size_bytes
        for path in ("a", "b"):
            file = await bed.store.stat(path)
            assert file is not None
            assert file.blob.stored_bytes == len(ANOTHER_GZIP)
            assert await bed.get(path) == DATA
        totals = await metadata.totals()
        more = len(ANOTHER_GZIP) - old
        assert totals == before.__class__(
            before.files, before.blobs, before.logical_bytes, before.stored_bytes + more, 0, 0, 0
        )
        assert await metadata.integrity() == []
        bed.late_s = 2 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.missing, report.deleted) == (0, 0)


async def test_what_is_sent_is_as_long_as_is_said() -> None:
    """Of HEAD that holds again once somebody has read it."""
    for memory_bytes in (0, 1 << 20):
        async with mounted(memory_bytes=memory_bytes) as scene:
            await scene.put("a", DATA)
            key = next(iter(scene.bucket.objects))
            store_at(scene.bucket, key, ANOTHER_GZIP, digest_of(DATA), len(DATA))
            fields = {"accept-encoding": "gzip"}
            for _ in range(3):
                answer = await scene.ask("files/a", fields)
                assert answer.status == 200
                body = answer.body
                if answer.content is not None:
                    assert answer.length == len(ANOTHER_GZIP)
                    body = await read_all(answer.content)
                assert gzip.decompress(body) == DATA
                assert header(answer, "content-encoding") == "gzip"
                assert len(body) == len(ANOTHER_GZIP)
                head = await scene.ask("files/a", fields, method="HEAD")
                assert head.length == len(ANOTHER_GZIP)


async def test_verifying_finds_nothing_wrong_and_sets_the_size_right() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        replace(bed)
        report = await Verifier(bed.metadata, bed.bucket).verify()
        assert (report.checked, report.damaged, report.missing) == (1, 0, 0)
        totals = await bed.metadata.totals()
        assert (totals.lost, totals.stored_bytes) == (0, len(ANOTHER_GZIP))
        assert bed.bucket.reading == 0


def wrong(size: str, digest: str) -> tuple[tuple[str, str], ...]:
    return (("x-amz-meta-logical-size", size), ("x-amz-meta-sha256", digest))


SAYS = [
    (),
    wrong(str(len(DATA)), digest_of(OTHER)),
    wrong(str(len(DATA)), ""),
    wrong(str(len(DATA)), digest_of(DATA).upper()),
    wrong(str(len(DATA) + 1), digest_of(DATA)),
    wrong("", digest_of(DATA)),
    wrong("-1", digest_of(DATA)),
    wrong("²", digest_of(DATA)),
    (("x-amz-meta-sha256", digest_of(DATA)),),
    (("x-amz-meta-logical-size", str(len(DATA))),),
]


@pytest.mark.parametrize("headers", SAYS)
async def test_what_does_not_say_that_it_is_that_content_is_lost(
    headers: tuple[tuple[str, str], ...],
) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.put(bed.key(DATA), ANOTHER_GZIP, headers=headers)
        report = await Verifier(bed.metadata, bed.bucket).verify()
        assert (report.damaged, report.missing) == (1, 0)
        with pytest.raises(UpstreamError, match="another size"):
            await bed.get("a")
        await trio.testing.wait_all_tasks_blocked()  # it is closed by and by
        assert bed.bucket.reading == 0
        assert (await bed.metadata.totals()).lost == 1
        await bed.put("b", DATA)
        assert await bed.get("a") == DATA


async def test_what_says_so_wrongly_is_found_by_verifying() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        store_at(bed.bucket, bed.key(DATA), packed(OTHER), digest_of(DATA), len(DATA))
        opened = await bed.store.open("a", gzip=False)
        assert opened is not None
        with pytest.raises(UpstreamError):
            await read_all(opened.content)
        report = await Verifier(bed.metadata, bed.bucket).verify()
        assert (report.damaged, report.missing) == (1, 0)
        await bed.put("b", DATA)
        assert await bed.get("a") == DATA


class Restating(FakeMetadata):
    """`restate` hangs, or fails."""

    error: UpstreamError | None = None

    async def restate(self, blob: Blob, stored_bytes: int) -> bool:
        if self.error is not None:
            raise self.error
        await trio.sleep_forever()
        raise AssertionError


async def test_who_leaves_while_its_size_is_set_right(autojump_clock: object) -> None:
    async with laid(Restating()) as bed:
        await bed.put("a", DATA)
        replace(bed)
        with trio.move_on_after(5) as scope:
            await bed.get("a")
        assert scope.cancelled_caught
        await trio.sleep(1)
        assert bed.bucket.reading == 0


async def test_where_its_size_cannot_be_set_right_it_is_read_all_the_same() -> None:
    metadata = Restating()
    async with laid(metadata) as bed:
        metadata.error = MetadataUnavailable("away")
        await bed.put("a", DATA)
        replace(bed)
        for _ in range(2):
            assert await bed.get("a", gzip=True) == ANOTHER_GZIP
            assert await bed.get("a") == DATA


async def test_one_who_read_it_before_does_no_harm() -> None:
    """Its answer of S3 was the old object, and it sets the size to that when the new one is there
    already: who reads it next sets it right."""
    async with laid() as bed, laid(bed.metadata, bed.bucket) as other:
        await bed.put("a", DATA)
        old = bed.bucket.objects[bed.key(DATA)]
        replace(bed)
        assert await other.get("a", gzip=True) == ANOTHER_GZIP
        bed.bucket.objects[bed.key(DATA)] = old
        slow = await bed.store.open("a", gzip=True)
        assert slow is not None
        replace(bed)
        assert len(await read_all(slow.content)) == slow.size_bytes == len(old.data)
        assert await other.get("a", gzip=True) == ANOTHER_GZIP
        assert (await blob_of(bed.metadata, "a")).stored_bytes == len(ANOTHER_GZIP)
