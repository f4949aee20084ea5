"""What every Metadata does for who stores without a claim: looks, stores, and puts."""

from __future__ import annotations

import pytest

from parparchik.dedup.types import Blob, File, Metadata, Written
from parparchik.errors import PathConflict
from tests.dedup.metadata_scene import (
    DAY,
    KEYS,
    NOW,
    blob_at,
    blob_of,
    claim,
    delete,
    digest,
    discard,
    everything,
    garbage,
    known,
    listed,
    look,
    make_garbage,
    put_small,
    refer,
    stored_at,
)

pytestmark = pytest.mark.usefixtures("each_way")

PLAIN = KEYS.plain(digest("x"))


async def test_what_is_not_known_is_added(metadata: Metadata) -> None:
    blob = Blob(digest("x"), PLAIN, 1, 21)
    assert await refer(metadata, "a", 7, blob) == Written(7, done=True)
    assert await metadata.get("a") == File("a", 7, blob)
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.logical_bytes, totals.stored_bytes) == (1, 1, 1, 21)
    assert (totals.orphans, totals.garbage, totals.lost) == (0, 0, 0)
    assert await metadata.integrity() == []


async def test_what_is_known_is_referred_to(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    assert await put_small(metadata, "b", 2) == blob
    assert await blob_of(metadata, "b") == blob
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.logical_bytes, totals.stored_bytes) == (2, 1, 2, 21)
    assert await garbage(metadata) == []


async def test_two_who_store_it_at_the_same_key_share_it(metadata: Metadata) -> None:
    """The sizes are those of who came first."""
    first, second = await look(metadata, "a"), await look(metadata, "b")
    assert first.key == second.key == PLAIN
    blob = stored_at(first)
    assert (await refer(metadata, "a", 1, blob)).done
    assert (await refer(metadata, "b", 1, stored_at(second, extra=30))).done
    assert await known(metadata) == [blob]
    assert await blob_of(metadata, "b") == blob
    assert (await metadata.totals()).stored_bytes == 21
    assert await garbage(metadata) == []
    assert await metadata.integrity() == []


@pytest.mark.parametrize("claims_first", [True, False])
async def test_somebody_with_a_claim_stores_it_elsewhere(
    metadata: Metadata, claims_first: bool
) -> None:
    if claims_first:
        held = await claim(metadata, "x")
        sight = await look(metadata, "b")
        assert held.key != sight.key
    else:  # what was looked at is not taken
        sight = await look(metadata, "b")
        held = await claim(metadata, "x")
        assert held.key == sight.key
    assert (await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW)).done
    assert (await refer(metadata, "b", 1, stored_at(sight))).done
    assert await known(metadata) == [blob_at(held, "x")]
    assert await garbage(metadata) == ([sight.key] if claims_first else [])
    assert await metadata.integrity() == []


async def test_a_key_that_somebody_claims_is_no_garbage_yet(metadata: Metadata) -> None:
    sight = await look(metadata)
    held = await claim(metadata, "x")
    other = await claim(metadata, "x")
    assert held.key == sight.key != other.key
    await metadata.put("a", 1, blob_at(other, "x"), other, now_s=NOW)
    assert (await refer(metadata, "b", 1, stored_at(sight))).done
    assert (await blob_of(metadata, "b")).key == other.key
    assert await garbage(metadata) == []
    await metadata.release(held)
    assert await garbage(metadata) == [held.key]


async def test_a_claim_at_its_key_ends_without_harm(metadata: Metadata) -> None:
    sight = await look(metadata)
    held = await claim(metadata, "x")
    await refer(metadata, "a", 1, stored_at(sight))
    await metadata.release(held)
    assert await garbage(metadata) == []
    assert (await blob_of(metadata, "a")).key == held.key == PLAIN


async def test_an_orphan_is_rescued(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    await delete(metadata, "a", 1)
    assert (await metadata.totals()).orphans == 1
    await put_small(metadata, "b", now=NOW + 1)
    assert (await metadata.totals()).orphans == 0
    assert await discard(metadata, NOW + 3 * DAY, NOW + 3 * DAY) == 0
    assert await blob_of(metadata, "b") == blob
    assert await metadata.integrity() == []


async def test_what_it_replaces_is_an_orphan(metadata: Metadata) -> None:
    old = await put_small(metadata, "a", 1, "x")
    await put_small(metadata, "a", 2, "yy")
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.logical_bytes, totals.orphans) == (1, 2, 2, 1)
    await make_garbage(metadata, old)
    assert await metadata.integrity() == []


async def test_the_same_again_changes_nothing(metadata: Metadata) -> None:
    await put_small(metadata, "a")
    before = await everything(metadata)
    await put_small(metadata, "a")
    assert await everything(metadata) == before


# -- that comes too late --------------------------------------------------------------------------


async def test_older_does_nothing_and_its_object_is_garbage(metadata: Metadata) -> None:
    x = await put_small(metadata, "a", 5, "x")
    y = stored_at(await look(metadata, "a", "y"), "y")
    assert await refer(metadata, "a", 4, y) == Written(5, done=False)
    assert await garbage(metadata) == [y.key]
    assert await known(metadata) == [x]
    assert (await metadata.totals()).stored_bytes == x.stored_bytes
    assert await metadata.integrity() == []


async def test_older_leaves_what_is_in_use(metadata: Metadata) -> None:
    await put_small(metadata, "a", 5, "x")
    y = await put_small(metadata, "b", 1, "y")
    z = stored_at(await look(metadata, "a", "z"), "z")
    held = await claim(metadata, "z")
    assert held.key == z.key
    for blob in (y, z):
        assert await refer(metadata, "a", 4, blob) == Written(5, done=False)
    assert await garbage(metadata) == []
    assert (await metadata.put("c", 1, blob_at(held, "z"), held, now_s=NOW)).done


async def test_an_older_one_of_a_lost_blob_changes_nothing(metadata: Metadata) -> None:
    await put_small(metadata, "a", 5, "x")
    y = await put_small(metadata, "b", 1, "y")
    await metadata.mark_lost(y, now_s=NOW)
    before = await everything(metadata)
    assert await refer(metadata, "a", 4, y) == Written(5, done=False)
    assert await everything(metadata) == before


@pytest.mark.parametrize(("version", "done"), [(4, False), (5, False), (6, True)])
async def test_what_is_imported_has_to_be_newer(
    metadata: Metadata, version: int, done: bool
) -> None:
    await put_small(metadata, "there", 5, "x")
    await delete(metadata, "dead", 5, tombstone=True)
    for path, old in (("there", 5), ("dead", None)):
        blob = stored_at(await look(metadata, path, path), path)
        written = await refer(metadata, path, version, blob, imported=True)
        assert written == Written(version if done else old, done=done)
        assert (blob.key in await garbage(metadata)) is not done
    assert await metadata.integrity() == []


async def test_a_tombstone_stops_nobody_who_means_it(metadata: Metadata) -> None:
    await delete(metadata, "a", 5, tombstone=True)
    await put_small(metadata, "a", 1)
    assert await listed(metadata) == ["a"]


@pytest.mark.parametrize("path", ["a", "a/b/c"])
async def test_a_path_that_was_taken_meanwhile_changes_nothing(
    metadata: Metadata, path: str
) -> None:
    blob = stored_at(await look(metadata, path, "y"), "y")
    await put_small(metadata, "a/b")
    before = await everything(metadata)
    with pytest.raises(PathConflict):
        await refer(metadata, path, 9, blob)
    assert await everything(metadata) == before
    assert await metadata.unknown([blob.key]) == [blob.key]  # as the caller has to
