"""The same content as another gzip: what every Metadata believes of its size is set right."""

from __future__ import annotations

from parparchik.dedup.types import Blob, Metadata
from tests.dedup.metadata_scene import (
    NOW,
    blob_of,
    delete,
    digest,
    everything,
    known,
    look,
    make_garbage,
    put,
    put_small,
)


async def test_the_size_is_set_right(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await put_small(metadata, "b")
    await put_small(metadata, "other", 1, "yy")
    blob = await blob_of(metadata, "a")
    before = await metadata.totals()
    for stored_bytes in (50, 2**40, 0, 7):
        assert await metadata.restate(blob, stored_bytes)
        assert not await metadata.restate(blob, stored_bytes)  # no news
        for path in "ab":
            assert await blob_of(metadata, path) == blob._replace(stored_bytes=stored_bytes)
        totals = await metadata.totals()
        assert totals.stored_bytes == before.stored_bytes - blob.stored_bytes + stored_bytes
        assert totals.logical_bytes == before.logical_bytes
        assert await metadata.integrity() == []
    await delete(metadata, "a", 1)
    await delete(metadata, "b", 1)
    await make_garbage(metadata, blob)
    assert (await metadata.totals()).stored_bytes == before.stored_bytes - blob.stored_bytes
    assert await metadata.integrity() == []


async def test_only_what_is_known_at_that_key_is_restated(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    before = await everything(metadata)
    assert not await metadata.restate(blob._replace(key="elsewhere"), 99)
    assert not await metadata.restate(Blob(digest("y"), blob.key, 1, 2), 99)
    assert not await metadata.restate(blob, blob.stored_bytes)
    # What the caller believes of its size does not matter.
    assert not await metadata.restate(blob._replace(stored_bytes=98), blob.stored_bytes)
    assert await everything(metadata) == before
    assert await metadata.restate(blob._replace(stored_bytes=98), 99)
    assert (await metadata.totals()).stored_bytes == 99


async def test_what_is_healed_later_has_its_own_size(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    assert await metadata.restate(blob, 99)
    assert await metadata.mark_lost(blob, now_s=NOW)
    assert await metadata.restate(blob, 77)  # it stays lost
    assert (await look(metadata)).blob is None
    anew = await put_small(metadata, "a", 2)
    assert await known(metadata) == [anew]
    assert (await metadata.totals()).stored_bytes == anew.stored_bytes
    assert await metadata.integrity() == []
