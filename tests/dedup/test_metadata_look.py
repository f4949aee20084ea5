"""What every Metadata tells who is about to store without a claim."""

from __future__ import annotations

import pytest

from parparchik.dedup.types import Metadata, Sight
from parparchik.errors import BadTarget, PathConflict
from tests.dedup.metadata_scene import (
    DAY,
    KEYS,
    NOW,
    claim,
    delete,
    digest,
    garbage,
    look,
    put_small,
    refer,
    stored_at,
)

pytestmark = pytest.mark.usefixtures("each_way")

PLAIN = KEYS.plain(digest("x"))


async def test_nothing_is_there(metadata: Metadata) -> None:
    assert await look(metadata) == Sight(None, None, PLAIN)
    assert await look(metadata) == Sight(None, None, PLAIN)  # it takes nothing
    assert await garbage(metadata) == []


async def test_the_file_and_the_blob_are_seen_each_by_itself(metadata: Metadata) -> None:
    x = await put_small(metadata, "a", 7, "x")
    assert await look(metadata, "a", "x") == Sight(7, x, x.key)
    assert await look(metadata, "a", "y") == Sight(7, None, KEYS.plain(digest("y")))
    assert await look(metadata, "b", "x") == Sight(None, x, x.key)


@pytest.mark.parametrize("version", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1])
async def test_the_version_is_seen_to_the_second(metadata: Metadata, version: int) -> None:
    await put_small(metadata, "a", version)
    assert (await look(metadata)).version_s == version


async def test_an_orphan_is_seen(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    await delete(metadata, "a", 1, tombstone=True)
    assert await look(metadata) == Sight(None, blob, blob.key)


async def test_of_a_lost_blob_only_its_file_is_seen(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a", 3)
    await metadata.mark_lost(blob, now_s=NOW)
    sight = await look(metadata)
    assert sight[:2] == (3, None)
    assert sight.key.startswith(f"{PLAIN}-")
    await metadata.mark_sound(blob)
    assert await look(metadata) == Sight(3, blob, blob.key)


async def test_a_key_is_offered_only_where_it_is_free(metadata: Metadata) -> None:
    held = await claim(metadata, "x")
    assert held.key == PLAIN
    assert (await look(metadata)).key.startswith(f"{PLAIN}-")  # somebody stores there
    await metadata.release(held)
    assert (await look(metadata)).key.startswith(f"{PLAIN}-")  # garbage
    await metadata.collected([PLAIN], now_s=NOW)
    assert (await look(metadata, now=NOW + DAY - 1)).key.startswith(f"{PLAIN}-")  # it rests
    assert (await look(metadata, now=NOW + DAY)).key == PLAIN


async def test_a_claim_of_what_is_known_keeps_nobody_away(metadata: Metadata) -> None:
    blob = await put_small(metadata, "a")
    held = await claim(metadata, "x")
    assert await look(metadata, "b") == Sight(None, blob, blob.key)
    await metadata.release(held)
    assert await garbage(metadata) == []


@pytest.mark.parametrize("path", ["a", "a/b/c"])
async def test_a_path_that_is_taken_is_refused_before_anything_is_stored(
    metadata: Metadata, path: str
) -> None:
    await put_small(metadata, "a/b")
    for content in ("x", "y"):
        with pytest.raises(PathConflict):
            await look(metadata, path, content)
    assert (await look(metadata, "a/b", "y")).version_s == 1
    assert (await look(metadata, "a/b-", "y")).version_s is None
    await delete(metadata, "a/b", 1)
    assert (await look(metadata, path)).version_s is None


@pytest.mark.parametrize("path", ["a\0b", "a/\ud800"])
async def test_what_is_no_text_is_refused(metadata: Metadata, path: str) -> None:
    with pytest.raises(BadTarget):
        await look(metadata, path)
    with pytest.raises(BadTarget):
        await refer(metadata, path, 1, stored_at(Sight(None, None, PLAIN)))
