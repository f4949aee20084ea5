"""The store as its protocol sees it: files come, go and are read."""

from __future__ import annotations

import gzip

import pytest
import trio

from parparchik.dedup.compress import NotGzip
from parparchik.dedup.receive import Expected
from parparchik.errors import BadDigest, ClientGone, PathConflict, Truncated, UpstreamError
from tests.dedup.bed import Bed, digest_of, hint, laid, limits_of, packed, read_all
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import FakeUpload

pytestmark = pytest.mark.usefixtures("each_way")

DATA = b"what is kept once " * 500
OTHER = b"something else " * 500


async def test_a_file_is_read_as_it_was_put() -> None:
    async with laid() as bed:
        written = await bed.put("a/b", DATA, 7)
        assert written == (7, True)
        assert await bed.get("a/b") == DATA
        stored = await bed.get("a/b", gzip=True)
        assert stored is not None
        assert gzip.decompress(stored) == DATA
        assert len(stored) < len(DATA)
        file = await bed.store.stat("a/b")
        assert file is not None
        assert file.version_s == 7
        assert file.blob == (digest_of(DATA), bed.key(DATA), len(DATA), len(stored))


async def test_what_is_stored_says_what_it_is() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        found = await bed.bucket.stat(bed.key(DATA))
        assert found is not None
        assert found.content_type == "application/octet-stream"
        assert found.header("content-encoding") == "gzip"
        assert found.header("x-amz-meta-logical-size") == str(len(DATA))
        assert found.header("x-amz-meta-sha256") == digest_of(DATA)


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "a byte", "more"])
async def test_plain_gzipped_and_hinted_uploads_share_an_object(data: bytes) -> None:
    async with laid() as bed:
        await bed.put("plain", data)
        await bed.put("gzipped", data, gzip=True)
        await bed.put("hinted", data, gzip=True, expected=hint(data))
        await bed.put("hinted plain", data, expected=hint(data))
        assert bed.bucket.count("store") == 1
        for path in ("plain", "gzipped", "hinted", "hinted plain"):
            assert await bed.get(path) == data
        statistics = bed.store.statistics()
        assert (statistics.counters.uploads, statistics.counters.skipped) == (1, 3)


async def test_a_hinted_upload_of_what_is_stored_is_verified_all_the_same() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        upload = FakeUpload(packed(OTHER))
        with pytest.raises(BadDigest):
            await bed.put("b", DATA, gzip=True, expected=hint(DATA), upload=upload)
        assert await bed.get("b") is None
        assert await bed.get("a") == DATA
        assert _claims(bed) == 0


WRONG = [
    (Expected(digest_of(OTHER), len(DATA)), BadDigest),
    (Expected(digest_of(OTHER), None), BadDigest),
    (Expected(digest_of(DATA), len(DATA) - 1), BadDigest),
    (Expected(digest_of(DATA), len(DATA) + 1), BadDigest),
    (Expected("", len(DATA) + 1), BadDigest),
    (Expected("", 0), BadDigest),
]


@pytest.mark.parametrize(("expected", "error"), WRONG)
@pytest.mark.parametrize("is_gzip", [True, False])
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
async def test_a_wrong_digest_or_size_stores_nothing(
    expected: Expected, error: type[Exception], is_gzip: bool, memory_bytes: int
) -> None:
    async with laid(limits=limits_of(memory_bytes)) as bed:
        with pytest.raises(error):
            await bed.put("a", DATA, gzip=is_gzip, expected=expected)
        assert await bed.get("a") is None
        assert bed.bucket.objects == {}
        assert _claims(bed) == 0


@pytest.mark.parametrize(
    "body",
    [
        packed(DATA)[:-1],
        packed(DATA)[:-8] + bytes(8),
        packed(DATA)[:20],
        packed(DATA) + b"junk",
        packed(DATA) + b"\x1f\x8b",
        DATA,
        b"",
        packed(DATA) + packed(DATA)[:-3],
    ],
    ids=["cut", "crc", "head", "trailing", "begun", "plain", "nothing", "second cut"],
)
@pytest.mark.parametrize("hinted", [True, False])
async def test_damaged_gzip_stores_nothing(body: bytes, hinted: bool) -> None:
    async with laid(limits=limits_of(10)) as bed:
        expected = hint(DATA) if hinted else Expected()
        upload = FakeUpload(body, size_bytes=len(body))
        with pytest.raises((NotGzip, BadDigest)) as raised:
            await bed.put("a", DATA, gzip=True, expected=expected, upload=upload)
        assert raised.value.status == 400
        assert await bed.get("a") is None
        assert bed.bucket.objects == {}


async def test_members_one_after_the_other_are_one_file() -> None:
    async with laid() as bed:
        body = packed(DATA) + packed(b"") + packed(OTHER) + bytes(100)
        await bed.put("a", DATA + OTHER, gzip=True, upload=FakeUpload(body))
        assert await bed.get("a") == DATA + OTHER
        await bed.put("b", DATA + OTHER)
        assert bed.bucket.count("store") == 1


async def test_large_hinted_uploads_go_to_s3_as_they_come() -> None:
    async with laid(limits=limits_of(10)) as bed:
        await bed.put("a", DATA, gzip=True, expected=hint(DATA))
        assert await bed.get("a") == DATA
        await bed.put("b", OTHER, expected=hint(OTHER))
        assert await bed.get("b") == OTHER
        assert bed.store.statistics().counters.straight == 2


async def test_older_versions_change_nothing() -> None:
    async with laid() as bed:
        await bed.put("a", DATA, 10)
        upload = FakeUpload(OTHER)
        assert await bed.put("a", OTHER, 9, upload=upload) == (10, False)
        assert await upload.read() == b""  # it was taken to its end
        assert await bed.get("a") == DATA
        assert bed.bucket.count("store") == 1
        with pytest.raises(BadDigest):
            await bed.put("a", OTHER, 9, expected=hint(DATA))


async def test_equal_versions_replace() -> None:
    async with laid() as bed:
        await bed.put("a", DATA, 10)
        assert await bed.put("a", OTHER, 10) == (10, True)
        assert await bed.get("a") == OTHER


async def test_negative_and_zero_versions() -> None:
    async with laid() as bed:
        assert await bed.put("a", DATA, -5) == (-5, True)
        assert await bed.put("a", OTHER, 0) == (0, True)
        assert await bed.put("a", DATA, -1) == (0, False)
        assert await bed.get("a") == OTHER


async def test_deletes() -> None:
    async with laid() as bed:
        assert await bed.store.delete("a", 5) == (None, False)
        await bed.put("a", DATA, 5)
        assert await bed.store.delete("a", 4) == (5, False)
        assert await bed.get("a") == DATA
        assert await bed.store.delete("a", 5) == (None, True)
        assert await bed.get("a") is None
        assert await bed.store.stat("a") is None


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a")])
async def test_a_file_is_no_folder(paths: tuple[str, str]) -> None:
    async with laid() as bed:
        first, second = paths
        await bed.put(first, DATA)
        for expected in (Expected(), hint(OTHER)):
            with pytest.raises(PathConflict):
                await bed.put(second, OTHER, expected=expected)
        assert set(bed.bucket.objects) == {bed.key(DATA)}, "nothing is stored for nothing"
        assert await bed.get(second) is None
        assert await bed.get(first) == DATA
        assert _claims(bed) == 0
        await bed.cleaner().clean()
        assert set(bed.bucket.objects) == {bed.key(DATA)}


async def test_a_client_that_leaves_leaves_nothing() -> None:
    class Leaving(FakeUpload):
        async def read(self) -> bytes:
            if piece := await super().read():
                return piece
            raise ClientGone("gone")

    for expected in (Expected(), hint(DATA)):
        async with laid(limits=limits_of(10)) as bed:
            with pytest.raises(ClientGone):
                await bed.put("a", DATA, upload=Leaving(DATA), expected=expected)
            assert await bed.get("a") is None
            assert bed.bucket.objects == {}
            assert _claims(bed) == 0
            assert bed.store.statistics().spooled_disk_bytes == 0


# -- reading ------------------------------------------------------------------------------------


async def test_a_missing_blob_is_no_missing_file() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.objects.clear()
        with pytest.raises(UpstreamError, match="missing") as raised:
            await bed.store.open("a")
        assert raised.value.status == 502
        assert bed.bucket.count("open") == 1
        assert bed.store.statistics().counters.missing == 1


async def test_a_file_that_is_overwritten_while_it_is_opened() -> None:
    async with laid() as bed:
        await bed.put("a", DATA, 1)
        await bed.put("b", OTHER, 1)
        state = _fake(bed)

        async def overwrite(point: str, asked: object) -> None:
            if point == "arriving":
                bed.bucket.at = None
                state.files["a"] = (2, digest_of(OTHER))
                del bed.bucket.objects[bed.key(DATA)]

        bed.bucket.at = overwrite
        assert await bed.get("a") == OTHER


async def test_a_file_that_is_deleted_while_it_is_opened() -> None:
    async with laid() as bed:
        await bed.put("a", DATA, 1)
        state = _fake(bed)

        async def drop(point: str, asked: object) -> None:
            state.files.clear()
            bed.bucket.objects.clear()

        bed.bucket.at = drop
        assert await bed.get("a") is None


@pytest.mark.parametrize("is_gzip", [True, False])
async def test_a_body_that_breaks_off_does_not_look_whole(is_gzip: bool) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.break_after[bed.key(DATA)] = 30
        opened = await bed.store.open("a", gzip=is_gzip)
        assert opened is not None
        with pytest.raises(Truncated):
            await read_all(opened.content)


@pytest.mark.parametrize("keep", [slice(10, None), slice(0, -9), slice(0, -4)])
async def test_a_damaged_blob_does_not_look_whole(keep: slice) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        stored = bed.bucket.objects[bed.key(DATA)].data
        bed.bucket.put(bed.key(DATA), stored[keep].ljust(len(stored), b"\1"))
        opened = await bed.store.open("a", gzip=False)
        assert opened is not None
        with pytest.raises(Truncated):
            await read_all(opened.content)


@pytest.mark.parametrize("more", [-1, 1])
async def test_a_blob_of_other_content_does_not_look_whole(more: int) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        stored = _fake(bed).stored
        blob = stored[digest_of(DATA)]
        stored[digest_of(DATA)] = blob._replace(logical_bytes=blob.logical_bytes + more)
        opened = await bed.store.open("a", gzip=False)
        assert opened is not None
        with pytest.raises(Truncated):
            await read_all(opened.content)


async def test_a_blob_without_its_check_does_not_look_whole() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        body = bed.bucket.objects[bed.key(DATA)].data[:-8]
        bed.bucket.put(bed.key(DATA), body)
        stored = _fake(bed).stored
        stored[digest_of(DATA)] = stored[digest_of(DATA)]._replace(stored_bytes=len(body))
        opened = await bed.store.open("a", gzip=False)
        assert opened is not None
        with pytest.raises(Truncated):
            await read_all(opened.content)


async def test_a_blob_of_another_size_is_not_sent() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.put(bed.key(DATA), packed(OTHER))
        with pytest.raises(UpstreamError, match="size"):
            await bed.store.open("a")


async def test_whoever_leaves_closes_the_connection(autojump_clock: object) -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        opened = await bed.store.open("a")
        assert opened is not None
        assert bed.bucket.reading == 1
        opened.content.close()
        opened.content.close()
        await trio.sleep(1)
        assert bed.bucket.reading == 0


async def test_lists() -> None:
    async with laid() as bed:
        for number, path in enumerate(("b/x", "a", "b/é", "bb/x")):
            await bed.put(path, DATA, number)
        pages = [page async for page in bed.store.list("b", until_s=10)]
        assert [file.path for page in pages for file in page] == ["b/x", "b/é"]


def _fake(bed: Bed) -> FakeMetadata:
    assert isinstance(bed.metadata, FakeMetadata)
    return bed.metadata


def _claims(bed: Bed) -> int:
    return len(_fake(bed).claims)
