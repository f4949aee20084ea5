"""A cleaner that spares nothing, at any moment of an upload that has no claim."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from parparchik.dedup.cleaner import Cleaner
from parparchik.dedup.types import Blob, Metadata
from parparchik.errors import ClaimLost
from tests.dedup.bed import DAY_S, digest_of, laid
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_scene import DAY, NOW, collect, look, make_garbage, put_small, refer
from tests.dedup.metadata_scene import delete as delete_file
from tests.dedup.test_unclaimed_turns import (
    DATA,
    Play,
    Scene,
    a_loss,
    a_stray,
    an_orphan,
    clean,
    fails_to_store,
    hours_ahead,
    nothing,
    one_puts,
    played,
)
from tests.fakes_bytes import BytesAsked

pytestmark = pytest.mark.usefixtures("each_way")

MOMENTS = range(12)
AT_ONCE = [1] * 300


async def clean_twice(scene: Scene) -> None:
    """With what rests of the first pass at hand."""
    await scene.clean()
    await scene.clean()


async def fail_and_clean(scene: Scene) -> None:
    """Another process gives up the same content, and its key is collected at once."""
    await fails_to_store(scene)
    await scene.clean()


async def delete_and_clean(scene: Scene) -> None:
    await scene.delete("old", 1)
    await scene.clean()


async def a_file(scene: Scene) -> None:
    await an_orphan(scene)
    await scene.put(scene.two, "old", DATA, 1, 6)


@pytest.mark.parametrize(
    "other", [clean, clean_twice, hours_ahead, fail_and_clean, delete_and_clean]
)
@pytest.mark.parametrize("prepare", [nothing, an_orphan, a_stray, a_loss, a_file])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_whole_pass_at_any_moment(prepare: Play, other: Play, moment: int) -> None:
    scene = await played([*[0] * moment, *AT_ONCE], prepare, one_puts, other)
    assert scene.wanted["one"] == DATA, "what is stored anew is not taken away again"


async def test_a_delete_that_is_on_its_way_meets_nothing_in_use() -> None:
    """It has been sent when the content comes back, and arrives when that is acknowledged."""
    async with laid() as bed, laid(bed.metadata, bed.bucket) as other:
        await other.put("a", DATA)
        await other.store.delete("a", 1)
        other.late_s = 2 * DAY_S

        async def arrive_late(point: str, asked: BytesAsked) -> None:
            if (point, asked.operation) == ("arriving", "delete"):
                bed.bucket.at = None
                assert (await bed.put("b", DATA)).done
                assert await bed.get("b") == DATA

        bed.bucket.at = arrive_late
        assert (await other.cleaner().clean()).deleted == 1
        assert await bed.get("b") == DATA
        assert bed.bucket.objects.keys() == {(await stat_blob(bed.metadata, "b")).key}


async def stat_blob(metadata: Metadata, path: str) -> Blob:
    file = await metadata.get(path)
    assert file is not None
    return file.blob


async def test_an_upload_that_arrives_when_it_was_given_up_is_collected() -> None:
    """S3 gets it a week late, at a key that means nothing any more; or at one in use: then it is
    the same content."""
    async with laid() as bed:
        await bed.put("kept", b"kept")
        late: list[Callable[[], Awaitable[object]]] = []
        stores = bed.bucket.store

        async def lose(*asked: Any) -> str:
            data = await asked[1].read()
            late.append(partial(stores, asked[0], _Again(data), asked[2]))
            raise ClaimLost("S3 says nothing")

        bed.bucket.store = lose  # type: ignore[method-assign,assignment]
        with pytest.raises(ClaimLost):
            await bed.put("a", DATA)
        bed.bucket.store = stores  # type: ignore[method-assign]
        for days in (2, 4):
            bed.late_s = days * DAY_S
            await bed.cleaner().clean()
        await bed.put("a", DATA, gzip=True)
        bed.late_s = 7 * DAY_S
        bed.now()
        for arrive in late:
            await arrive()
        assert await bed.get("a") == DATA
        bed.late_s = 9 * DAY_S
        await bed.cleaner().clean()
        assert await bed.get("a") == DATA
        assert len(bed.bucket.objects) == 2
        assert (await bed.metadata.totals()).garbage == 0


class _Again:
    def __init__(self, data: bytes) -> None:
        self._pieces = [data]
        self.size_bytes = len(data)

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""


async def test_a_clock_that_goes_back_stops_nobody(metadata: Metadata) -> None:
    """A key is used again when it has rested; by the clock of a second before that it rests."""
    seen = await put_small(metadata, "b")
    await delete_file(metadata, "b", 1)
    await make_garbage(metadata, seen)
    await collect(metadata)
    assert await put_small(metadata, "a", now=NOW + DAY + 5) == seen
    before = NOW + DAY - 5
    sight = await look(metadata, "c", "x", before)
    assert sight.blob == seen
    assert (await refer(metadata, "c", 1, seen, now=before)).done


async def test_a_pass_that_lasts_longer_than_its_lead() -> None:
    """Two clean at once, and both delete the same."""
    metadata = FakeMetadata()
    async with laid(metadata) as bed, laid(metadata, bed.bucket) as other:
        await bed.put("a", DATA)
        await bed.store.delete("a", 1)
        bed.late_s = other.late_s = 2 * DAY_S
        cleaners: list[Cleaner] = [other.cleaner(owner="other")]

        async def meanwhile(point: str, asked: BytesAsked) -> None:
            if (point, asked.operation) == ("answering", "delete") and cleaners:
                other.late_s += 3600
                await cleaners.pop().clean()
                other.late_s += 3600
                await other.put("b", DATA)

        bed.bucket.at = meanwhile
        await bed.cleaner().clean()
        bed.bucket.at = None
        assert await bed.get("b") == DATA
        assert (await other.put("c", DATA)).done
        assert (await stat_blob(metadata, "c")).digest == digest_of(DATA)
