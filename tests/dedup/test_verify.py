"""Reading blobs again: what is sound, damaged, missing, or cannot be told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from parparchik.dedup.faults import BELOW_A_FILE, ORPHANS_WITH_FILES
from parparchik.dedup.reports import VerifyReport
from parparchik.dedup.types import Blob
from parparchik.dedup.verify import Verifier
from parparchik.errors import Denied, MetadataUnavailable, Unavailable, UpstreamError
from tests.dedup.bed import Bed, digest_of, laid, packed
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import BytesAsked

CONTENTS = [b"content %d " % number * 100 for number in range(20)]


async def fill(bed: Bed) -> None:
    for number, data in enumerate(CONTENTS):
        await bed.put(f"f/{number}", data)


async def verified(bed: Bed, **how: float) -> VerifyReport:
    report = await Verifier(bed.metadata, bed.bucket).verify(**how)  # type: ignore[arg-type]
    assert bed.bucket.reading == 0
    return report


async def listed(bed: Bed) -> AsyncIterator[str]:
    async for page in bed.store.list("", until_s=100):
        for file in page:
            yield file.path


async def test_all_is_sound() -> None:
    async with laid() as bed:
        await fill(bed)
        seen: list[tuple[int, int]] = []
        report = await Verifier(bed.metadata, bed.bucket, parallel=3).verify(
            progress=lambda done, total: seen.append((done, total))
        )
        stored = sum(len(each.data) for each in bed.bucket.objects.values())
        assert report == VerifyReport(checked=20, read_bytes=stored)
        assert seen == [(done, 20) for done in range(1, 21)]


async def test_nothing_at_all() -> None:
    async with laid() as bed:
        assert await verified(bed) == VerifyReport()


@pytest.mark.parametrize(
    "stored",
    [packed(CONTENTS[1]), packed(CONTENTS[0])[:-1], b"", b"junk", packed(CONTENTS[0]) + b"junk"],
)
async def test_a_damaged_blob(stored: bytes) -> None:
    async with laid() as bed:
        await fill(bed)
        bed.bucket.put(bed.key(CONTENTS[0]), stored)
        report = await verified(bed)
        assert (report.checked, report.damaged, report.missing, report.failed) == (20, 1, 0, 0)
        assert [blob.digest for blob in report.bad_blobs] == [digest_of(CONTENTS[0])]


async def test_a_missing_blob() -> None:
    async with laid() as bed:
        await fill(bed)
        del bed.bucket.objects[bed.key(CONTENTS[0])]
        report = await verified(bed)
        assert (report.checked, report.damaged, report.missing) == (20, 0, 1)
        assert [blob.digest for blob in report.bad_blobs] == [digest_of(CONTENTS[0])]


async def test_what_is_not_what_it_was_is_lost_and_stored_anew() -> None:
    async with laid() as bed:
        await fill(bed)
        del bed.bucket.objects[bed.key(CONTENTS[0])]
        bed.bucket.put(bed.key(CONTENTS[1]), packed(CONTENTS[2]))
        bed.bucket.failing_keys[bed.key(CONTENTS[3])] = lambda: Unavailable("500")
        await verified(bed)
        assert (await bed.metadata.totals()).lost == 2
        assert len([path async for path in listed(bed)]) == 20
        bed.bucket.failing_keys.clear()
        stores = bed.bucket.count("store")
        for number in range(4):
            await bed.put(f"again/{number}", CONTENTS[number])
        assert bed.bucket.count("store") == stores + 2
        for number, data in enumerate(CONTENTS):
            assert await bed.get(f"f/{number}") == data
        report = await verified(bed)
        assert (report.checked, report.missing, report.damaged, report.failed) == (20, 0, 0, 0)
        assert (await bed.metadata.totals()).lost == 0


async def test_what_is_there_again_is_lost_no_more() -> None:
    async with laid() as bed:
        await fill(bed)
        key = bed.key(CONTENTS[0])
        away = bed.bucket.objects.pop(key)
        await verified(bed)
        bed.bucket.objects[key] = away
        assert await bed.get("f/0") == CONTENTS[0]  # it is tried all the same
        report = await verified(bed)
        assert (report.found, report.missing) == (1, 0)
        assert (await bed.metadata.totals()).lost == 0
        assert (await verified(bed)).found == 0


class Slow(FakeMetadata):
    """Others go on while it marks."""

    async def mark_sound(self, blob: Blob) -> bool:
        marked = await super().mark_sound(blob)
        await trio.lowlevel.checkpoint()
        return marked


async def test_all_that_is_there_again_is_counted() -> None:
    async with laid(Slow()) as bed:
        await fill(bed)
        away = dict(bed.bucket.objects)
        bed.bucket.objects.clear()
        assert (await verified(bed)).missing == 20
        bed.bucket.objects.update(away)
        assert (await verified(bed)).found == 20


async def test_the_same_content_of_another_size_is_not_what_is_sent() -> None:
    """Its size was told to clients; what is not of that size is lost to them."""
    async with laid() as bed:
        await fill(bed)
        bed.bucket.put(bed.key(CONTENTS[0]), packed(CONTENTS[0]) + packed(b""))
        with pytest.raises(UpstreamError, match="another size"):
            await bed.get("f/0")
        report = await verified(bed)
        assert (report.damaged, report.found) == (1, 0)
        await bed.put("again", CONTENTS[0])
        assert await bed.get("f/0") == CONTENTS[0]


async def test_faults_of_the_metadata_are_told_and_mended() -> None:
    async with laid() as bed:
        await fill(bed)
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        metadata.orphaned_at[digest_of(CONTENTS[0])] = 0.0
        metadata.files["f/0/below"] = (1, digest_of(CONTENTS[0]))
        told = await verified(bed)
        assert {(fault.what, fault.count) for fault in told.faults} == {
            (ORPHANS_WITH_FILES, 1),
            (BELOW_A_FILE, 1),
        }
        assert told.mended == 0
        mended = await Verifier(bed.metadata, bed.bucket).verify(mend=True)
        assert mended.mended == 1
        assert [fault.what for fault in mended.faults] == [BELOW_A_FILE]
        assert mended.checked == 20


async def test_a_blob_that_is_collected_meanwhile_is_not_missing() -> None:
    async with laid() as bed:
        await fill(bed)
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)

        async def collect(point: str, asked: BytesAsked) -> None:
            if asked.key == bed.key(CONTENTS[0]) and point == "arriving":
                del bed.bucket.objects[asked.key]
                del metadata.stored[digest_of(CONTENTS[0])]

        bed.bucket.at = collect
        report = await verified(bed)
        assert (report.damaged, report.missing, report.bad_blobs) == (0, 0, ())


async def test_what_cannot_be_read_is_not_called_damaged() -> None:
    async with laid() as bed:
        await fill(bed)
        bed.bucket.failing_keys[bed.key(CONTENTS[0])] = lambda: Denied("403")
        bed.bucket.failing_keys[bed.key(CONTENTS[1])] = lambda: Unavailable("500")
        bed.bucket.break_after[bed.key(CONTENTS[2])] = 5
        report = await verified(bed)
        assert (report.checked, report.failed, report.damaged, report.missing) == (20, 3, 0, 0)


async def test_a_share() -> None:
    async with laid() as bed:
        await fill(bed)
        chances = iter([0.05, 0.5] * 10)
        verifier = Verifier(bed.metadata, bed.bucket, chance=lambda: next(chances))
        assert (await verifier.verify(share=0.1)).checked == 10
        assert (await verified(bed, share=0.0)).checked == 0


async def test_without_metadata_there_is_nothing_to_say() -> None:
    async with laid() as bed:
        await fill(bed)
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)

        async def away(point: str, asked: BytesAsked) -> None:
            metadata.broken = True

        bed.bucket.at = away
        del bed.bucket.objects[bed.key(CONTENTS[0])]
        with pytest.raises(MetadataUnavailable):
            await verified(bed)


async def test_so_many_at_a_time() -> None:
    async with laid() as bed:
        await fill(bed)
        most = 0

        async def count(point: str, asked: BytesAsked) -> None:
            nonlocal most
            most = max(most, bed.bucket.reading)

        bed.bucket.at = count
        await Verifier(bed.metadata, bed.bucket, parallel=3).verify()
        assert 2 <= most <= 3
