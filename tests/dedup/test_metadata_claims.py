"""What every Metadata does for who stores, and for the cleaner, whichever database it is on."""

from __future__ import annotations

import pytest

from parparchik.dedup.types import Blob, Metadata, Totals
from parparchik.errors import ClaimLost
from tests.dedup.metadata_scene import (
    DAY,
    LIFE,
    NOW,
    blob_at,
    claim,
    delete,
    digest,
    discard,
    listed,
    put,
)


async def test_the_key_is_named_after_the_content(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    name = digest("x")
    assert held.blob is None
    assert held.digest == name
    assert held.key == f"store/{name[:2]}/{name[2:4]}/{name}"


async def test_two_who_store_the_same_have_a_key_each(metadata: Metadata) -> None:
    first, second = await claim(metadata, "x"), await claim(metadata, "x")
    assert second.key.startswith(first.key + "-")
    assert first.token != second.token
    await metadata.put("a", 1, blob_at(second, "x"), second, now_s=NOW)
    assert await metadata.garbage(limit=9) == []  # the first one is still storing
    await metadata.put("b", 1, blob_at(first, "x"), first, now_s=NOW)
    assert await metadata.garbage(limit=9) == [first.key]
    file = await metadata.get("b")
    assert file is not None
    assert file.blob.key == second.key
    assert (await metadata.totals()).blobs == 1


async def test_released_is_garbage_and_its_key_is_not_given_out(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    await metadata.release(held)
    await metadata.release(held)
    assert await metadata.garbage(limit=9) == [held.key]
    assert (await claim(metadata, "x")).key != held.key
    with pytest.raises(ClaimLost):
        await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW)
    assert await metadata.get("a") is None


async def test_releasing_known_content_keeps_it(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await metadata.release(await claim(metadata, "x"))
    assert await metadata.garbage(limit=9) == []
    assert await metadata.get("a") is not None


async def test_a_claim_ends_with_its_time(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    with pytest.raises(ClaimLost):
        await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW + LIFE)
    assert not await metadata.renew(held, now_s=NOW + LIFE, life_s=LIFE)
    assert (await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW + LIFE - 1)).done
    with pytest.raises(ClaimLost):  # it is ended by what it was for
        await metadata.put("a", 2, blob_at(held, "x"), held, now_s=NOW)


async def test_a_renewed_claim_holds_for_longer(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    assert await metadata.renew(held, now_s=NOW + LIFE - 1, life_s=LIFE)
    assert (await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW + LIFE + 1)).done


async def test_a_claim_that_ran_out_is_garbage_for_everybody(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    assert await discard(metadata, NOW, NOW + LIFE - 1) == 0
    assert await metadata.garbage(limit=9) == []
    assert await discard(metadata, NOW, NOW + LIFE) == 0
    assert await metadata.garbage(limit=9) == [held.key]
    with pytest.raises(ClaimLost):  # whose clock is behind
        await metadata.put("a", 1, blob_at(held, "x"), held, now_s=NOW)
    assert not await metadata.renew(held, now_s=NOW, life_s=LIFE)


async def test_a_claim_is_for_its_own_content_and_key(metadata: Metadata) -> None:
    held, other = await claim(metadata, "x"), await claim(metadata, "y")
    for wrong in (blob_at(other, "y"), Blob(held.digest, other.key, 1, 1)):
        with pytest.raises(ClaimLost):
            await metadata.put("a", 1, wrong, held, now_s=NOW)
    assert await listed(metadata) == []


async def test_orphans_become_garbage_after_their_time(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    key = (await claim(metadata, "x", NOW - LIFE)).key
    await delete(metadata, "a", 1)
    assert await discard(metadata, NOW, NOW) == 0  # not from before
    assert await discard(metadata, NOW + 1, NOW + 1) == 1
    assert await metadata.garbage(limit=9) == [key]
    assert await metadata.totals() == Totals(0, 0, 0, 0, 0, 1)
    assert (await claim(metadata, "x")).blob is None


async def test_claimed_orphans_are_kept(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await delete(metadata, "a", 1)
    held = await claim(metadata, "x")
    assert await discard(metadata, NOW + 10, NOW + 10) == 0
    assert held.blob is not None
    assert (await metadata.put("b", 1, held.blob, held, now_s=NOW + 10)).done
    assert await discard(metadata, NOW + 99, NOW + 99) == 0
    assert await metadata.get("b") is not None


async def test_an_orphan_whose_claim_ran_out_goes_and_the_claim_with_it(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await delete(metadata, "a", 1)
    held = await claim(metadata, "x")
    assert held.blob is not None
    assert await discard(metadata, NOW + LIFE, NOW + LIFE) == 1
    with pytest.raises(ClaimLost):
        await metadata.put("b", 1, held.blob, held, now_s=NOW)
    assert await metadata.garbage(limit=9) == [held.key]


async def test_orphans_go_a_few_at_a_time(metadata: Metadata) -> None:
    for number in range(5):
        await put(metadata, "a", number, f"{number}", NOW + number)
    counts = [await discard(metadata, NOW + 99, NOW + 99, limit=3) for _ in range(3)]
    assert counts == [3, 1, 0]
    assert len(await metadata.garbage(limit=2)) == 2
    assert len(await metadata.garbage(limit=9)) == 4


async def test_collected_keys_rest_for_a_day(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    await metadata.release(held)
    await metadata.collected([held.key], now_s=NOW)
    assert await metadata.garbage(limit=9) == []
    assert (await metadata.totals()).garbage == 0
    other = await claim(metadata, "x", NOW + DAY - 1)
    assert other.key.startswith(held.key + "-")
    await metadata.release(other)
    again = await claim(metadata, "x", NOW + DAY)
    assert again.key == held.key
    await metadata.collected([other.key], now_s=NOW + DAY)
    await metadata.release(again)
    assert await metadata.garbage(limit=9) == [held.key]


async def test_unknown_keys_become_garbage(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    blob = (await metadata.get("a") or pytest.fail("gone")).blob
    held = await claim(metadata, "y")
    released, gone = await claim(metadata, "z"), await claim(metadata, "w")
    await metadata.release(released)
    await metadata.release(gone)
    await metadata.collected([gone.key], now_s=NOW)
    keys = [blob.key, held.key, released.key, gone.key, "strange", "strange"]
    # What was deleted and is there again was stored late: it is garbage once more.
    assert await metadata.unknown(keys) == [gone.key, "strange"]
    assert sorted(await metadata.garbage(limit=9)) == sorted([released.key, gone.key, "strange"])
    assert await metadata.unknown(keys) == []
    assert await metadata.unknown([]) == []


async def test_blobs_are_all_there_is_at_s3(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await put(metadata, "b", 1, "y")
    await delete(metadata, "b", 1)
    found = [blob async for page in metadata.blobs() for blob in page]
    assert [blob.digest for blob in found] == sorted([digest("x"), digest("y")])


async def test_one_leads(metadata: Metadata) -> None:
    assert await metadata.lead("one", now_s=NOW, life_s=LIFE)
    assert not await metadata.lead("two", now_s=NOW + LIFE - 1, life_s=LIFE)
    assert await metadata.lead("one", now_s=NOW + LIFE - 1, life_s=LIFE)
    assert not await metadata.lead("two", now_s=NOW + LIFE, life_s=LIFE)
    assert await metadata.lead("two", now_s=NOW + 2 * LIFE - 1, life_s=LIFE)
    assert not await metadata.lead("one", now_s=NOW + 2 * LIFE, life_s=LIFE)


async def test_check_is_content_and_leaves_nothing(metadata: Metadata) -> None:
    await metadata.check()
    assert await metadata.garbage(limit=9) == []
