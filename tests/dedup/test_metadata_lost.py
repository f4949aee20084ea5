"""Blobs that S3 has lost, as every Metadata sees them: their files stay, and what is stored anew
takes their place."""

from __future__ import annotations

import pytest

from parparchik.dedup.types import Blob, Metadata, Tombstone, Written
from parparchik.errors import BadTarget, ClaimLost
from tests.dedup.metadata_scene import (
    DAY,
    LIFE,
    NOW,
    claim,
    delete,
    digest,
    discard,
    listed,
    put,
)


async def blob_of(metadata: Metadata, path: str) -> Blob:
    return (await metadata.get(path) or pytest.fail("gone")).blob


async def lose(metadata: Metadata, path: str) -> Blob:
    blob = await blob_of(metadata, path)
    assert await metadata.mark_lost(blob, now_s=NOW)
    return blob


async def test_its_files_stay_and_it_is_not_relied_on(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    lost = await lose(metadata, "a")
    assert await blob_of(metadata, "a") == lost
    assert await listed(metadata) == ["a"]
    assert (await metadata.totals()).lost == 1
    assert not await metadata.mark_lost(lost, now_s=NOW)  # no news
    held = await claim(metadata, "x")
    assert held.blob is None
    assert held.key != lost.key


async def test_what_is_stored_anew_is_there_for_all_its_files(metadata: Metadata) -> None:
    for path in ("a", "b", "c"):
        await put(metadata, path, 1, "x")
    await put(metadata, "other", 1, "y")
    lost = await lose(metadata, "a")
    held = await claim(metadata, "x")
    anew = Blob(lost.digest, held.key, lost.logical_bytes, 99)
    assert await metadata.put("d", 1, anew, held, now_s=NOW) == Written(1, done=True)
    for path in ("a", "b", "c", "d"):
        assert await blob_of(metadata, path) == anew
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.lost) == (5, 2, 0)
    assert totals.stored_bytes == 99 + (await blob_of(metadata, "other")).stored_bytes
    assert totals.logical_bytes == 4 * lost.logical_bytes + 1
    assert await metadata.garbage(limit=9) == [lost.key]
    assert (await claim(metadata, "x")).blob == anew
    assert await metadata.integrity() == []


async def test_the_same_path_in_the_same_version_heals_it(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    lost = await lose(metadata, "a")
    assert await put(metadata, "a", 1, "x") == Written(1, done=True)
    assert (await blob_of(metadata, "a")).key != lost.key
    assert (await metadata.totals()).lost == 0
    assert (await metadata.totals()).orphans == 0


async def test_what_was_claimed_before_it_was_lost_is_not_referred_to(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    held = await claim(metadata, "x")
    lost = await lose(metadata, "a")
    assert held.blob == lost
    with pytest.raises(ClaimLost):
        await metadata.put("b", 1, lost, held, now_s=NOW)
    assert await listed(metadata) == ["a"]
    await metadata.release(held)
    assert await metadata.garbage(limit=9) == []


async def test_an_older_version_of_it_changes_nothing(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await put(metadata, "b", 5, "y")
    held = await claim(metadata, "x")
    lost = await lose(metadata, "a")
    assert await metadata.put("b", 4, lost, held, now_s=NOW) == Written(5, done=False)
    assert await blob_of(metadata, "a") == lost


async def test_two_store_it_anew_and_one_is_enough(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    lost = await lose(metadata, "a")
    first, second = await claim(metadata, "x"), await claim(metadata, "x")
    assert first.key != second.key
    for path, held in (("b", first), ("c", second)):
        blob = Blob(lost.digest, held.key, lost.logical_bytes, 50)
        assert (await metadata.put(path, 1, blob, held, now_s=NOW)).done
    assert {(await blob_of(metadata, path)).key for path in "abc"} == {first.key}
    assert sorted(await metadata.garbage(limit=9)) == sorted([lost.key, second.key])
    assert (await metadata.totals()).blobs == 1


async def test_its_old_key_is_kept_for_who_claims_it(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    early = await claim(metadata, "x")
    lost = await lose(metadata, "a")
    await put(metadata, "a", 2, "x")
    assert await metadata.garbage(limit=9) == []
    # Its own put finds the blob at its new key.
    assert (await metadata.put("b", 1, lost, early, now_s=NOW)).done
    assert (await blob_of(metadata, "b")) == (await blob_of(metadata, "a"))
    assert await metadata.garbage(limit=9) == [lost.key]


async def test_only_what_is_known_at_that_key_is_marked(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    blob = await blob_of(metadata, "a")
    assert not await metadata.mark_lost(blob._replace(key="elsewhere"), now_s=NOW)
    assert not await metadata.mark_lost(Blob(digest("y"), "y", 1, 2), now_s=NOW)
    assert not await metadata.mark_sound(blob)  # it is
    assert await metadata.mark_lost(blob, now_s=NOW)
    assert not await metadata.mark_sound(blob._replace(key="elsewhere"))
    assert await metadata.mark_sound(blob)
    assert (await claim(metadata, "x")).blob == blob
    assert (await metadata.totals()).lost == 0


async def test_a_lost_orphan_is_collected_and_forgotten(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    lost = await lose(metadata, "a")
    await delete(metadata, "a", 1)
    assert await discard(metadata, NOW + DAY, NOW + LIFE) == 1
    assert await metadata.garbage(limit=9) == [lost.key]
    totals = await metadata.totals()
    assert (totals.blobs, totals.lost) == (0, 0)
    await metadata.collected([lost.key], now_s=NOW)
    await put(metadata, "a", 1, "x", NOW + 3 * DAY)
    assert (await claim(metadata, "x")).blob is not None


async def test_an_orphan_that_is_stored_anew_is_none(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await lose(metadata, "a")
    await delete(metadata, "a", 1)
    await put(metadata, "b", 1, "x")
    totals = await metadata.totals()
    assert (totals.orphans, totals.lost) == (0, 0)


# -- tombstones, one by one -----------------------------------------------------------------------


async def buried(metadata: Metadata) -> set[Tombstone]:
    return {dead async for page in metadata.tombstones() for dead in page}


async def test_a_tombstone_for_what_is_not_here(metadata: Metadata) -> None:
    assert await metadata.bury("a", 5)
    assert not await metadata.bury("a", 5)
    assert not await metadata.bury("a", -(2**63))
    assert await metadata.tombstone("a") == 5
    assert await metadata.bury("a", 2**63 - 1)
    assert await metadata.tombstone("a") == 2**63 - 1


async def test_a_tombstone_leaves_the_file_that_is_there(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    assert await metadata.bury("a", 5)
    assert await listed(metadata) == ["a"]
    assert await metadata.tombstone("a") is None
    assert not (await put(metadata, "a", 5, "y", imported=True)).done
    assert await buried(metadata) == {Tombstone("a", 5)}


async def test_all_tombstones(metadata: Metadata) -> None:
    assert await buried(metadata) == set()
    expected = {Tombstone(f"é/{number}", number - 600) for number in range(1300)}
    for path, version in expected:
        await metadata.bury(path, version)
    await put(metadata, "é/7", 700, "x")
    assert await buried(metadata) == expected


@pytest.mark.parametrize(("path", "version"), [("a\0b", 1), ("\udfff", 1), ("a", 2**63)])
async def test_what_cannot_be_a_tombstone(metadata: Metadata, path: str, version: int) -> None:
    with pytest.raises(BadTarget):
        await metadata.bury(path, version)
