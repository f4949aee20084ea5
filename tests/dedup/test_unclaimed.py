"""PUT of what is in memory: what a client sees of it, whatever fails or is taken away meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from parparchik.dedup.put import PutLimits
from parparchik.dedup.receive import NOTHING_EXPECTED, Expected
from parparchik.dedup.spool import SpoolLimits
from parparchik.dedup.types import Blob, Claim, Sight, Written
from parparchik.errors import (
    BadDigest,
    PathConflict,
)
from tests.dedup.bed import DAY_S, Bed, digest_of, hint, laid, packed
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import BytesAsked, FakeUpload

pytestmark = pytest.mark.usefixtures("each_way")

OLD = b"what was there " * 300
NEW = b"what comes " * 300


def state(bed: Bed) -> FakeMetadata:
    assert isinstance(bed.metadata, FakeMetadata)
    return bed.metadata


async def collected(bed: Bed, *, sweep: bool) -> None:
    """One pass, and S3 has what is referred to, and nothing else."""
    bed.bucket.at = None
    bed.late_s += 2 * DAY_S
    report = await bed.cleaner().clean(sweep=sweep)
    assert (report.failed, report.missing) == (0, 0)
    metadata = state(bed)
    assert set(bed.bucket.objects) == {
        metadata.stored[digest].key for _, digest in metadata.files.values()
    }
    assert (metadata.claims, metadata.waste, await metadata.integrity()) == ({}, set(), [])


# -- without a claim ----------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, hint(NEW), Expected(digest_of(NEW), None)])
@pytest.mark.parametrize("is_gzip", [True, False])
async def test_what_is_in_memory_claims_nothing(expected: Expected, is_gzip: bool) -> None:
    async with laid() as bed:
        await bed.put("a", NEW, expected=expected, gzip=is_gzip)
        await bed.put("b", NEW, expected=expected, gzip=is_gzip)
        steps = [name for _, name in bed.steps]
        assert steps == ["received", "stored", "referred", "received", "referred"]
        assert await bed.get("a") == await bed.get("b") == NEW
        assert bed.bucket.count("store") == 1
        await collected(bed, sweep=False)


async def test_without_memory_left_it_waits_on_disk_and_claims() -> None:
    limits = PutLimits(spool=SpoolLimits(memory_budget_bytes=10))
    async with laid(limits=limits) as bed:
        await bed.put("a", NEW)
        assert ("put", "claimed") in bed.steps
        assert await bed.get("a") == NEW
        assert await bed.put("a", OLD, 0) == (1, False)
        assert await bed.put("a", OLD, 1) == (1, True)
        assert await bed.get("a") == OLD
        await collected(bed, sweep=False)


async def test_older_equal_and_newer_versions() -> None:
    async with laid() as bed:
        await bed.put("a", OLD, 5)
        for expected in (NOTHING_EXPECTED, hint(NEW)):
            upload = FakeUpload(NEW, size_bytes=len(NEW))
            assert await bed.put("a", NEW, 4, upload=upload, expected=expected) == (5, False)
            assert bed.is_soon or await upload.read() == b""
        assert bed.bucket.count("store") == 1, "what is too old is not stored"
        with pytest.raises(BadDigest):
            await bed.put("a", NEW, 4, expected=hint(OLD))
        assert await bed.put("a", NEW, 5) == (5, True)
        assert await bed.put("a", OLD, 6) == (6, True)
        assert await bed.get("a") == OLD
        assert bed.bucket.count("store") == 2
        await collected(bed, sweep=False)


async def test_what_becomes_too_old_while_it_is_stored() -> None:
    async with laid() as bed:

        async def newer(point: str, asked: BytesAsked) -> None:
            bed.bucket.at = None
            await bed.metadata.put(
                "a", 9, Blob(digest_of(OLD), bed.key(OLD), len(OLD), 1), None, now_s=bed.now()
            )

        bed.bucket.put(bed.key(OLD), packed(OLD))
        bed.bucket.at = newer
        assert await bed.put("a", NEW, 5) == (9, False)
        assert state(bed).waste == {bed.key(NEW)}
        await collected(bed, sweep=False)


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")])
async def test_a_conflict_stores_nothing(paths: tuple[str, str]) -> None:
    async with laid() as bed:
        await bed.put(paths[0], OLD)
        for expected in (NOTHING_EXPECTED, hint(NEW)):
            with pytest.raises(PathConflict) as raised:
                await bed.put(paths[1], NEW, expected=expected)
            assert raised.value.status == 409
        assert bed.bucket.count("store") == 1
        assert state(bed).waste == set()


async def test_a_conflict_that_comes_while_it_is_stored() -> None:
    async with laid() as bed:

        async def conflict(point: str, asked: BytesAsked) -> None:
            bed.bucket.at = None
            await bed.put("a", OLD)

        bed.bucket.at = conflict
        with pytest.raises(PathConflict):
            await bed.put("a/b", NEW)
        assert await bed.get("a/b") is None
        await collected(bed, sweep=False)


# -- what is taken away meanwhile ---------------------------------------------------------------


class Taking(FakeMetadata):
    """Somebody takes whatever may be taken for garbage just before it is referred to: what is
    stored and unknown, and orphans."""

    is_taking = False

    async def put(
        self, path: str, version_s: int, blob: Blob, claim: Claim | None, **named: Any
    ) -> Written:
        if self.is_taking:
            now_s = named["now_s"]
            await self.discard_orphans(older_than_s=now_s + 1, now_s=now_s, limit=100)
            await self.unknown([blob.key])
        return await super().put(path, version_s, blob, claim, **named)


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, hint(NEW)])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "an orphan"])
async def test_what_is_always_taken_for_garbage_is_stored_with_a_claim(
    is_there: bool, expected: Expected
) -> None:
    metadata = Taking()
    async with laid(metadata) as bed:
        if is_there:
            await bed.put("b", NEW)
            await bed.store.delete("b", 2)
        metadata.is_taking = True
        assert (await bed.put("a", NEW, expected=expected)).done
        assert await bed.get("a") == NEW
        stored = [asked.key for asked in bed.bucket.asked if asked.operation == "store"]
        assert len(set(stored)) == len(stored) == 2
        assert stored[0] == bed.key(NEW)
        assert bed.store.statistics().counters.claims_lost == 1
        await collected(bed, sweep=False)
        assert await bed.get("a") == NEW


@pytest.mark.parametrize("expected", [NOTHING_EXPECTED, hint(NEW)])
async def test_what_is_lost_after_it_was_seen_is_stored_anew(expected: Expected) -> None:
    class Losing(FakeMetadata):
        async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
            sight = await super().look(path, digest, now_s=now_s)
            if path == "b" and sight.blob is not None:
                await self.mark_lost(sight.blob, now_s=now_s)
            return sight

    async with laid(Losing()) as bed:
        await bed.put("a", NEW)
        del bed.bucket.objects[bed.key(NEW)]
        assert (await bed.put("b", NEW, expected=expected)).done
        assert await bed.get("a") == await bed.get("b") == NEW
        assert (await bed.metadata.totals()).lost == 0
        await collected(bed, sweep=False)


@pytest.mark.parametrize("is_known", [True, False], ids=["referred", "stored"])
async def test_who_was_asleep_for_days_relies_on_nothing_it_saw(is_known: bool) -> None:
    """As a machine that was suspended: meanwhile others have collected it, and its rest is over."""

    class Asleep(FakeMetadata):
        async def put(
            self, path: str, version_s: int, blob: Blob, claim: Claim | None, **named: Any
        ) -> Written:
            return await super().put(path, version_s, blob, claim, **named)

        async def look(self, path: str, digest: str, *, now_s: float) -> Sight:
            sight = await super().look(path, digest, now_s=now_s)
            if path == "b" and is_known and bed.late_s == 0:
                await sleep()
            return sight

    async def sleep(*_: object) -> None:
        bed.late_s = 3 * DAY_S
        await bed.cleaner(owner="other").clean()
        assert bed.bucket.objects.keys() == {bed.key(OLD)}
        bed.late_s = 6 * DAY_S
        await bed.cleaner(owner="other").clean()

    async def at(point: str, asked: BytesAsked) -> None:
        if (point, asked.operation) == ("answering", "store"):
            bed.bucket.at = None
            await sleep()

    async with laid(Asleep()) as bed:
        await bed.put("kept", OLD)
        if is_known:
            await bed.put("a", NEW)
            await bed.store.delete("a", 1)
        else:
            bed.bucket.at = at
        assert (await bed.put("b", NEW)).done
        assert await bed.get("b") == NEW
