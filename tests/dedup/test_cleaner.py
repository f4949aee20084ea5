"""The cleaner: what it collects, what it leaves alone, and what it tells of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import trio

from parparchik.dedup.compare import Comparison, Listed, digest_in
from parparchik.dedup.types import Blob
from parparchik.errors import Unavailable
from parparchik.model import ListedObject, ObjectHead
from tests.dedup.bed import DAY_S, GRACE_S, Bed, digest_of, laid
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import BytesAsked, Stored

DATA = b"what is referred to " * 100
GONE = b"what nobody refers to " * 100


async def with_an_orphan(bed: Bed) -> None:
    await bed.put("a", DATA)
    await bed.put("b", GONE)
    await bed.store.delete("b", 1)


async def test_orphans_are_collected_after_their_grace() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        bed.late_s = GRACE_S - 5
        report = await bed.cleaner().clean()
        assert (report.orphans, report.deleted) == (0, 0)
        assert bed.key(GONE) in bed.bucket.objects
        bed.late_s = GRACE_S + 5
        report = await bed.cleaner().clean()
        assert (report.led, report.orphans, report.deleted, report.failed) == (True, 1, 1, 0)
        assert set(bed.bucket.objects) == {bed.key(DATA)}
        assert await bed.get("a") == DATA


async def test_an_orphan_that_is_put_again_stays() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        await bed.put("c", GONE, 2)
        bed.late_s = DAY_S
        assert (await bed.cleaner().clean()).deleted == 0
        assert await bed.get("c") == GONE
        assert bed.bucket.count("store") == 2


async def test_a_key_is_not_used_again_while_a_delete_may_come_late() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        bed.late_s = GRACE_S + 5
        await bed.cleaner().clean()
        await bed.put("b", GONE, 2)
        assert bed.key(GONE) not in bed.bucket.objects
        await bed.bucket.delete(bed.key(GONE))  # which comes late
        assert await bed.get("b") == GONE


async def test_what_nobody_knows_of_is_collected_in_the_same_pass() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        bed.bucket.put(bed.key(GONE), b"left behind")
        bed.bucket.put(bed.key(GONE) + "-0123abcd", b"left behind")
        assert (await bed.cleaner().clean()).unknown == 0  # it may be under way
        bed.late_s = GRACE_S + 5
        report = await bed.cleaner().clean()
        assert (report.unknown, report.deleted) == (2, 2)
        assert set(bed.bucket.objects) == {bed.key(DATA)}


FOREIGN = [
    "readme.txt",
    "ab/cd/readme.txt",
    f"ab/cd/{digest_of(GONE)}",
    f"{digest_of(GONE)[:2]}/{digest_of(GONE)[2:4]}/{digest_of(GONE)}.gz",
    f"{digest_of(GONE)[:2]}/{digest_of(GONE)[2:4]}/{digest_of(GONE)}-0123",
    f"{digest_of(GONE)[:2]}/{digest_of(GONE)[2:4]}/{digest_of(GONE).upper()}",
    f"x/{digest_of(GONE)[:2]}/{digest_of(GONE)[2:4]}/{digest_of(GONE)}",
    f"/{digest_of(GONE)}",
]


async def test_what_is_not_named_like_a_blob_is_not_touched() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        for key in FOREIGN:
            bed.bucket.put(key, b"somebody else's")
        bed.late_s = 10 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.foreign, report.unknown, report.deleted) == (len(FOREIGN), 0, 0)
        assert set(FOREIGN) < set(bed.bucket.objects)


@pytest.mark.parametrize("depth", [0, 1, 2, 8])
def test_keys_of_any_depth_are_ours(depth: int) -> None:
    digest = digest_of(DATA)
    folders = "".join(f"{digest[2 * at : 2 * at + 2]}/" for at in range(depth))
    assert digest_in(f"p/{folders}{digest}", "p/") == digest
    assert digest_in(f"p/{folders}{digest}-0123abcd", "p/") == digest
    assert digest_in(f"q/{folders}{digest}", "p/") is None


async def test_a_database_that_knows_nothing_deletes_nothing() -> None:
    """As one that was opened in the wrong place does."""
    bucket = None
    async with laid() as bed:
        await bed.put("a", DATA)
        bucket = bed.bucket
    async with laid(bucket=bucket) as bed:
        bed.late_s = 10 * DAY_S
        report = await bed.cleaner().clean()
        assert (report.doubtful, report.unknown, report.deleted) == (True, 0, 0)
        assert (await bed.cleaner().clean(dry_run=True)).doubtful
        assert set(bucket.objects) == {bed.key(DATA)}


async def test_missing_blobs_are_told_of() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)
        await bed.put("b", GONE)
        del bed.bucket.objects[bed.key(GONE)]
        report = await bed.cleaner().clean()
        assert report.missing == 1
        assert [blob.digest for blob in report.missing_blobs] == [digest_of(GONE)]


async def test_a_blob_that_is_stored_while_it_is_listed_is_not_missing() -> None:
    async with laid() as bed:
        await bed.put("a", DATA)

        async def put(point: str, asked: BytesAsked) -> None:
            if (point, asked.operation) == ("arriving", "list"):
                bed.bucket.at = None
                for number in range(20):
                    await bed.put(f"more/{number}", b"%d" % number)
                hidden.update(bed.bucket.objects)
                bed.bucket.objects.clear()
                bed.bucket.at = show

        async def show(point: str, asked: BytesAsked) -> None:
            bed.bucket.objects.update(hidden)

        hidden: dict[str, Stored] = {}
        bed.bucket.at = put
        assert (await bed.cleaner().clean()).missing == 0


@pytest.mark.parametrize("page_keys", [1, 2, 7, 1000])
async def test_any_number_on_a_page(page_keys: int) -> None:
    async with laid() as bed:
        bed.bucket.page_keys = page_keys
        contents = [b"%d" % number for number in range(20)]
        for number, data in enumerate(contents):
            await bed.put(f"f/{number}", data)
        for number in (3, 5):
            bed.bucket.put(bed.key(contents[number]) + "-0123abcd", b"stray")
        del bed.bucket.objects[bed.key(contents[7])]
        bed.late_s = DAY_S
        report = await bed.cleaner().clean()
        assert (report.listed, report.unknown, report.deleted, report.missing) == (21, 2, 2, 1)
        for number in set(range(20)) - {7}:
            assert await bed.get(f"f/{number}") == contents[number]


async def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        bed.bucket.put(bed.key(b"stray"), b"stray")
        bed.late_s = DAY_S
        objects = dict(bed.bucket.objects)
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        seen: list[tuple[int, int]] = []
        report = await bed.cleaner().clean(
            dry_run=True, progress=lambda done, total: seen.append((done, total))
        )
        assert (report.orphans, report.unknown, report.deleted) == (1, 1, 0)
        assert bed.bucket.objects == objects
        assert bed.bucket.count("delete") == 0
        assert metadata.waste == set()
        assert metadata.leader[0] == ""
        assert len(metadata.stored) == 2
        assert seen == [(3, 2)]


async def test_what_s3_does_not_delete_stays_garbage() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        await bed.put("c", b"more")
        await bed.store.delete("c", 1)
        bed.late_s = DAY_S
        bed.bucket.failing_keys[bed.key(GONE)] = lambda: Unavailable("500")
        report = await bed.cleaner().clean()
        assert (report.deleted, report.failed) == (1, 1)
        bed.bucket.failing_keys.clear()
        report = await bed.cleaner().clean()
        assert (report.deleted, report.failed) == (1, 0)
        assert set(bed.bucket.objects) == {bed.key(DATA)}


async def test_one_process_cleans() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        bed.late_s = DAY_S
        assert await bed.metadata.lead("other", now_s=bed.now(), life_s=60)
        report = await bed.cleaner().clean()
        assert (report.led, report.deleted) == (False, 0)
        bed.late_s += 61
        assert (await bed.cleaner().clean()).deleted == 1
        # Who has done gives way at once.
        assert (await bed.cleaner(owner="third").clean()).led


async def test_who_loses_the_lead_stops() -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        bed.late_s = DAY_S
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)

        def usurp(operation: str, name: str) -> None:
            if name == "chosen":
                metadata.leader = ("other", float("inf"))

        bed.on_step = usurp
        report = await bed.cleaner().clean()
        assert (report.led, report.deleted) == (False, 0)
        assert metadata.leader[0] == "other"


async def test_it_goes_on_after_an_outage(autojump_clock: object) -> None:
    async with laid() as bed:
        await with_an_orphan(bed)
        cleaner = bed.cleaner()
        async with trio.open_nursery() as nursery:
            await nursery.start(cleaner.run, 600.0, 7200.0)
            bed.bucket.failing["list"] = lambda: Unavailable("500")
            bed.bucket.failing["delete"] = lambda: Unavailable("500")
            await trio.sleep(3 * 3600)
            assert cleaner.failures > 0
            assert bed.key(GONE) in bed.bucket.objects
            bed.bucket.failing.clear()
            bed.bucket.put(bed.key(b"stray"), b"stray")
            await trio.sleep(3 * 3600)
            assert set(bed.bucket.objects) == {bed.key(DATA)}
            assert cleaner.last is not None
            nursery.cancel_scope.cancel()


async def test_a_failing_database_ends_a_pass_and_not_the_cleaner(autojump_clock: object) -> None:
    async with laid() as bed:
        cleaner = bed.cleaner()
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        async with trio.open_nursery() as nursery:
            await nursery.start(cleaner.run, 600.0, 7200.0)
            metadata.broken = True
            await trio.sleep(3600)
            metadata.broken = False
            failures = cleaner.failures
            assert failures > 0
            await trio.sleep(3600)
            assert cleaner.failures == failures
            assert cleaner.passes > 0
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_what_is_as_it_should_be_needs_no_question(page: int) -> None:
    blobs = [Blob(digest_of(b"%d" % n), f"k/{digest_of(b'%d' % n)}", 1, 1) for n in range(9)]
    blobs.sort()
    stray = ListedObject(f"{blobs[4].key}-0123abcd", ObjectHead(1, 0))

    async def pages() -> AsyncIterator[Sequence[Blob]]:
        for at in range(0, 9, 2):
            yield blobs[at : at + 2]

    comparison = Comparison(pages())
    listed = [Listed(b.digest, ListedObject(b.key, ObjectHead(1, 0))) for b in blobs]
    listed.insert(5, Listed(blobs[4].digest, stray))
    found = [await comparison.page(listed[at : at + page]) for at in range(0, 10, page)]
    found.append(await comparison.end())
    assert [item for difference in found for item in difference.strays] == [stray]
    assert [blob for difference in found for blob in difference.absent] == []


async def test_a_listing_out_of_order_only_costs_questions() -> None:
    blobs = [Blob(digest_of(b"%d" % n), f"k/{digest_of(b'%d' % n)}", 1, 1) for n in range(9)]
    blobs.sort()

    async def pages() -> AsyncIterator[Sequence[Blob]]:
        for at in range(0, 9, 2):
            yield blobs[at : at + 2]

    comparison = Comparison(pages())
    listed = [Listed(b.digest, ListedObject(b.key, ObjectHead(1, 0))) for b in reversed(blobs)]
    absent: list[Blob] = []
    strays: list[ListedObject] = []
    for at in range(0, 9, 3):
        difference = await comparison.page(listed[at : at + 3])
        absent += difference.absent
        strays += difference.strays
    difference = await comparison.end()
    assert len(strays + difference.strays) == len(absent + difference.absent)
