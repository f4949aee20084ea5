"""S3 or the metadata fail, or hang, at every step there is: nobody is told a lie by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from parparchik.dedup.receive import Expected
from parparchik.dedup.types import Blob, Claim, Written
from parparchik.errors import (
    ClaimLost,
    Denied,
    MetadataUnavailable,
    ParparchikError,
    Truncated,
    Unavailable,
    UpstreamError,
)
from tests.dedup.bed import DAY_S, Bed, digest_of, hint, laid, limits_of
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import BytesAsked, FakeUpload

pytestmark = pytest.mark.usefixtures("each_way")

OLD = b"what was there " * 300
NEW = b"what comes " * 300

Act = Callable[[Bed], Awaitable[object]]


async def put(bed: Bed) -> object:
    return await bed.put("a", NEW, 2)


async def put_hinted(bed: Bed) -> object:
    return await bed.put("a", NEW, 2, gzip=True, expected=hint(NEW))


async def delete(bed: Bed) -> object:
    return await bed.store.delete("a", 2)


async def clean(bed: Bed) -> object:
    bed.late_s = DAY_S
    return await bed.cleaner().clean()


ERRORS = [
    lambda: Unavailable("500"),
    lambda: UpstreamError("nonsense"),
    lambda: Truncated("broken"),
    lambda: Denied("403"),
]


async def fails_as_it_should(act: Act, bed: Bed) -> None:
    """If it does: not everything that is made to fail is needed for all."""
    statuses = []
    try:
        await act(bed)
    except ParparchikError as error:
        statuses.append(error.status)
    assert all(status >= 500 for status in statuses)


async def consistent(bed: Bed, *contents: bytes | None) -> None:
    """The file is one of these; and when all has been cleaned, S3 has what is referred to, and
    nothing else."""
    bed.bucket.failing.clear()
    bed.bucket.at = None
    assert await bed.get("a") in contents
    assert await bed.get("other") == OLD
    bed.late_s += 2 * DAY_S
    report = await bed.cleaner().clean()
    assert (report.failed, report.missing) == (0, 0)
    await exact(bed)
    await bed.put("a", NEW, 3)
    assert await bed.get("a") == NEW
    await exact(bed)


async def exact(bed: Bed) -> None:
    metadata = bed.metadata
    assert isinstance(metadata, FakeMetadata)
    assert metadata.claims == {}
    in_use = {metadata.stored[digest].key for _, digest in metadata.files.values()}
    orphans = {metadata.stored[digest].key for digest in metadata.orphaned_at}
    assert set(bed.bucket.objects) - metadata.waste == in_use | orphans


@pytest.mark.parametrize("fail", ERRORS)
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@pytest.mark.parametrize("act", [put, put_hinted])
async def test_s3_refuses_to_store(
    act: Act, memory_bytes: int, fail: Callable[[], UpstreamError]
) -> None:
    async with laid(limits=limits_of(memory_bytes)) as bed:
        await bed.put("a", OLD, 1)
        await bed.put("other", OLD, 1)
        bed.bucket.failing["store"] = fail
        with pytest.raises(UpstreamError) as raised:
            await act(bed)
        assert raised.value.status >= 500
        await consistent(bed, OLD)


@pytest.mark.parametrize("point", ["arriving", "answering"])
@pytest.mark.parametrize("fail", ERRORS)
@pytest.mark.parametrize("operation", ["store", "delete", "list", "stat"])
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@pytest.mark.parametrize("act", [put, put_hinted, delete, clean])
async def test_an_answer_of_s3_gets_lost(
    act: Act, memory_bytes: int, operation: str, fail: Callable[[], UpstreamError], point: str
) -> None:
    """At "answering" what was asked has happened."""
    async with laid(limits=limits_of(memory_bytes)) as bed:
        await bed.put("a", NEW, 0)
        await bed.put("a", OLD, 1)
        await bed.put("other", OLD, 1)
        bed.late_s = 2 * DAY_S
        await bed.cleaner().clean()
        await bed.put("a", b"short", 1)
        await bed.put("a", OLD, 1)

        async def lose(at: str, asked: BytesAsked) -> None:
            if (at, asked.operation) == (point, operation):
                raise fail()

        bed.bucket.at = lose
        await fails_as_it_should(act, bed)
        await consistent(bed, OLD, NEW, None)


# Where there is no task, nothing is cancelled.
@pytest.mark.parametrize("each_way", ["in a task"], indirect=True)
@pytest.mark.parametrize("point", ["arriving", "answering"])
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@pytest.mark.parametrize("act", [put, put_hinted])
async def test_s3_hangs_and_the_client_leaves(
    act: Act, memory_bytes: int, point: str, autojump_clock: object
) -> None:
    async with laid(limits=limits_of(memory_bytes)) as bed:
        await bed.put("a", OLD, 1)
        await bed.put("other", OLD, 1)

        async def hang(at: str, asked: BytesAsked) -> None:
            if at == point:
                await trio.sleep_forever()

        bed.bucket.at = hang
        with trio.move_on_after(1000) as scope:
            await act(bed)
        assert scope.cancelled_caught
        assert bed.store.statistics().receiving == 0
        await consistent(bed, OLD)


async def test_a_hanging_store_keeps_its_claim(autojump_clock: object) -> None:
    """A claim lives for two minutes, S3 takes an hour: the cleaner takes nothing away."""
    async with laid(limits=limits_of(10)) as bed:
        release = trio.Event()

        async def wait(at: str, asked: BytesAsked) -> None:
            if (at, asked.operation) == ("answering", "store"):
                await release.wait()

        bed.bucket.at = wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, bed)
            await trio.sleep(3600)
            report = await bed.cleaner(grace_s=0).clean()
            assert report.deleted == 0
            release.set()
        assert await bed.get("a") == NEW


# -- the metadata -------------------------------------------------------------------------------


class Failing(FakeMetadata):
    """Fails at the n-th call of anything, before it happens or, `after`, when it has."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9
        self.after = False
        self.calls = 0

    def _work(self) -> None:
        super()._work()
        self.calls += 1
        self.left -= 1
        if self.left == 0 and not self.after:
            raise MetadataUnavailable("away")

    async def claim(self, *args: Any, **named: Any) -> Claim:
        claim = await super().claim(*args, **named)
        self._tell()
        return claim

    async def put(self, *args: Any, **named: Any) -> Written:
        written = await super().put(*args, **named)
        self._tell()
        return written

    async def delete(self, *args: Any, **named: Any) -> Written:
        written = await super().delete(*args, **named)
        self._tell()
        return written

    async def collected(self, *args: Any, **named: Any) -> None:
        await super().collected(*args, **named)
        self._tell()

    async def release(self, *args: Any, **named: Any) -> None:
        await super().release(*args, **named)
        self._tell()

    def _tell(self) -> None:
        if self.left <= 0 and self.after:
            self.after = False
            raise MetadataUnavailable("the answer got lost")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("memory_bytes", [1 << 20, 10], ids=["spooled", "straight"])
@pytest.mark.parametrize("act", [put, put_hinted, delete, clean])
async def test_the_metadata_fails_at_every_call(act: Act, memory_bytes: int, after: bool) -> None:
    for nth in range(1, 12):
        async with laid(Failing(), limits=limits_of(memory_bytes)) as bed:
            metadata = bed.metadata
            assert isinstance(metadata, Failing)
            await bed.put("a", b"short", 0)
            await bed.put("a", OLD, 1)
            await bed.put("other", OLD, 1)
            metadata.left, metadata.after = nth, after
            await fails_as_it_should(act, bed)
            metadata.left, metadata.after = 10**9, False
            await consistent(bed, OLD, NEW, None)


class Losing(FakeMetadata):
    """Claims are lost just before they are put to use, so many times."""

    lose = 0

    async def put(
        self, path: str, version_s: int, blob: Blob, claim: Claim | None, **named: Any
    ) -> Written:
        if self.lose and claim is not None:
            self.lose -= 1
            await self.release(claim)
        return await super().put(path, version_s, blob, claim, **named)


async def put_digest_only(bed: Bed) -> object:
    """Which is spooled."""
    return await bed.put("a", NEW, 2, gzip=True, expected=Expected(digest_of(NEW), None))


@pytest.mark.parametrize("act", [put, put_digest_only])
async def test_a_lost_claim_is_claimed_anew(act: Act) -> None:
    async with laid(Losing(), limits=limits_of(10)) as bed:
        await bed.put("other", OLD)
        bed.metadata.lose = 2  # type: ignore[attr-defined]
        await act(bed)
        assert await bed.get("a") == NEW
        assert bed.store.statistics().counters.claims_lost == 2
        await consistent(bed, NEW)


async def test_claims_are_not_lost_for_ever() -> None:
    async with laid(Losing(), limits=limits_of(10)) as bed:
        await bed.put("other", OLD)
        bed.metadata.lose = 10  # type: ignore[attr-defined]
        with pytest.raises(ClaimLost) as raised:
            await put(bed)
        assert raised.value.status == 503
        bed.metadata.lose = 0  # type: ignore[attr-defined]
        await consistent(bed, None)


async def test_what_went_straight_cannot_be_stored_again() -> None:
    async with laid(Losing(), limits=limits_of(10)) as bed:
        await bed.put("other", OLD)
        bed.metadata.lose = 1  # type: ignore[attr-defined]
        with pytest.raises(ClaimLost):
            await put_hinted(bed)
        await consistent(bed, None)


async def test_what_went_straight_is_referred_to_where_another_has_stored_it() -> None:
    async with laid(Losing(), limits=limits_of(10)) as bed:
        await bed.put("other", OLD)

        async def other_first(at: str, asked: BytesAsked) -> None:
            if (at, asked.operation) == ("answering", "store"):
                bed.bucket.at = None
                await bed.put("b", NEW)
                bed.metadata.lose = 1  # type: ignore[attr-defined]

        bed.bucket.at = other_first
        await put_hinted(bed)
        assert await bed.get("a") == NEW
        await consistent(bed, NEW)


async def test_a_claim_that_cannot_be_renewed_ends_the_work(autojump_clock: object) -> None:
    async with laid(limits=limits_of(10)) as bed:
        metadata = bed.metadata
        assert isinstance(metadata, FakeMetadata)
        claims = metadata.claims

        class Slow(FakeUpload):
            async def read(self) -> bytes:
                await trio.sleep(30)
                claims.clear()
                return await super().read()

        with pytest.raises(ClaimLost):
            await bed.put("a", NEW, expected=hint(NEW), upload=Slow(*[NEW[:10]] * 100))
        assert await bed.get("a") is None
        assert digest_of(NEW) not in metadata.stored
