"""Reading blobs again: what is sound, damaged, missing, or cannot be told."""

from __future__ import annotations

import pytest

from parparchik.dedup.reports import VerifyReport
from parparchik.dedup.verify import Verifier
from parparchik.errors import Denied, MetadataUnavailable, Unavailable
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
