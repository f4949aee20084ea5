"""What the cleaner takes, or S3 loses, while somebody stores without a claim: in no Metadata does a
file refer to what is about to be deleted, or was."""

from __future__ import annotations

import pytest

from parparchik.dedup.types import Blob, Metadata, Written
from parparchik.errors import ClaimLost
from tests.dedup.metadata_scene import (
    DAY,
    LIFE,
    NOW,
    blob_of,
    claim,
    collect,
    delete,
    discard,
    everything,
    garbage,
    look,
    make_garbage,
    put_small,
    refer,
    stored_at,
)

pytestmark = pytest.mark.usefixtures("each_way")


async def refused(metadata: Metadata, blob: Blob, now: float = NOW) -> None:
    """Neither new nor old, imported or not; nothing is changed, and nothing is offered there."""
    before = await everything(metadata)
    for version, imported in ((9, False), (9, True), (0, False)):
        with pytest.raises(ClaimLost):
            await refer(metadata, "a", version, blob, now=now, imported=imported)
    assert await everything(metadata) == before
    sight = await look(metadata, "a", "x", now)
    assert sight.blob is None
    assert sight.key != blob.key


async def test_an_orphan_that_was_seen_is_discarded(metadata: Metadata) -> None:
    await put_small(metadata, "other", 1, "y")
    seen = await put_small(metadata, "b")
    await delete(metadata, "b", 1)
    assert (await look(metadata)).blob == seen
    await make_garbage(metadata, seen)
    await refused(metadata, seen)
    assert await collect(metadata) == [seen.key]
    await refused(metadata, seen)
    await refused(metadata, seen, NOW + DAY - 1)
    again = await put_small(metadata, "a", 9)
    assert again.key != seen.key
    assert await blob_of(metadata, "a") == again
    assert await garbage(metadata) == []
    assert await metadata.integrity() == []


async def test_what_was_stored_is_taken_for_unknown(metadata: Metadata) -> None:
    stored = stored_at(await look(metadata))
    assert await metadata.unknown([stored.key]) == [stored.key]
    await refused(metadata, stored)
    await collect(metadata)
    await refused(metadata, stored)
    assert (await put_small(metadata, "a")).key != stored.key


async def test_one_who_gave_up_takes_the_key_with_him(metadata: Metadata) -> None:
    """Two look at the same key; what the first stores there is older, so it is garbage."""
    await put_small(metadata, "new", 9, "y")
    first, second = await look(metadata, "new"), await look(metadata)
    assert first.key == second.key
    assert not (await refer(metadata, "new", 1, stored_at(first))).done
    await refused(metadata, stored_at(second))
    await put_small(metadata, "a")


async def test_a_claim_that_ended_takes_the_key_with_it(metadata: Metadata) -> None:
    stored = stored_at(await look(metadata))
    held = await claim(metadata, "x")
    assert held.key == stored.key
    assert await discard(metadata, NOW, NOW + LIFE) == 0
    await refused(metadata, stored)
    await put_small(metadata, "a")


async def test_it_is_stored_anew_though_its_old_key_rests(metadata: Metadata) -> None:
    """Who saw it at its old key does not bring that back."""
    seen = await put_small(metadata, "b")
    await delete(metadata, "b", 1)
    await make_garbage(metadata, seen)
    await collect(metadata)
    anew = await put_small(metadata, "b", 2)
    before = await everything(metadata)
    with pytest.raises(ClaimLost):
        await refer(metadata, "a", 1, seen)
    assert await everything(metadata) == before
    assert await put_small(metadata, "a") == anew


async def test_after_its_rest_a_key_is_as_good_as_new(metadata: Metadata) -> None:
    seen = await put_small(metadata, "b")
    await delete(metadata, "b", 1)
    await make_garbage(metadata, seen)
    await collect(metadata)
    assert await put_small(metadata, "a", now=NOW + DAY) == seen
    await delete(metadata, "a", 1)
    await make_garbage(metadata, seen, NOW + DAY)


# -- what S3 has lost -----------------------------------------------------------------------------


async def test_what_is_stored_anew_takes_the_place_of_the_lost(metadata: Metadata) -> None:
    lost = await put_small(metadata, "a")
    await put_small(metadata, "b")
    assert await metadata.mark_lost(lost, now_s=NOW)
    sight = await look(metadata, "c")
    anew = Blob(lost.digest, sight.key, 1, 99)
    assert await refer(metadata, "c", 1, anew) == Written(1, done=True)
    assert [await blob_of(metadata, path) for path in "abc"] == [anew] * 3
    assert await garbage(metadata) == [lost.key]
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.logical_bytes) == (3, 1, 3)
    assert (totals.stored_bytes, totals.lost, totals.orphans) == (99, 0, 0)
    assert await metadata.integrity() == []


async def test_a_lost_orphan_is_healed_and_none_any_more(metadata: Metadata) -> None:
    lost = await put_small(metadata, "a")
    await metadata.mark_lost(lost, now_s=NOW)
    await delete(metadata, "a", 1)
    anew = await put_small(metadata, "a")
    assert anew.key != lost.key
    totals = await metadata.totals()
    assert (totals.orphans, totals.lost, totals.garbage) == (0, 0, 1)
    assert await metadata.integrity() == []


async def test_what_was_lost_after_it_was_seen_is_not_referred_to(metadata: Metadata) -> None:
    seen = await put_small(metadata, "a")
    sight = await look(metadata, "b")
    assert sight.blob == seen
    assert await metadata.mark_lost(seen, now_s=NOW)
    before = await everything(metadata)
    with pytest.raises(ClaimLost):
        await refer(metadata, "b", 1, seen)
    assert await everything(metadata) == before
    assert (await put_small(metadata, "b")).key != seen.key
    assert (await metadata.totals()).lost == 0


async def test_two_heal_it_and_one_is_enough(metadata: Metadata) -> None:
    lost = await put_small(metadata, "a")
    await metadata.mark_lost(lost, now_s=NOW)
    first, second = await look(metadata, "b"), await look(metadata, "c")
    assert len({lost.key, first.key, second.key}) == 3
    for path, sight in (("b", first), ("c", second)):
        assert (await refer(metadata, path, 1, stored_at(sight))).done
    assert {(await blob_of(metadata, path)).key for path in "abc"} == {first.key}
    assert await garbage(metadata) == sorted([lost.key, second.key])
    with pytest.raises(ClaimLost):  # who saw it before it was lost
        await refer(metadata, "d", 1, lost)
