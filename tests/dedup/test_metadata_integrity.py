"""What no change of a Metadata leaves behind is found and mended, whichever database it is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from parparchik.dedup.faults import (
    BELOW_A_FILE,
    NEEDED_GARBAGE,
    ORPHANS_WITH_FILES,
    UNKNOWN_BLOB,
    UNMARKED_ORPHANS,
    Fault,
)
from parparchik.dedup.types import Metadata
from tests.dedup.metadata_scene import (
    DAY,
    NOW,
    claim,
    content_of,
    delete,
    digest,
    discard,
    listed,
    put,
)
from tests.dedup.spoiled import fill, hands_in


async def test_nothing_is_wrong_as_a_rule(metadata: Metadata) -> None:
    assert await metadata.integrity() == []
    await fill(metadata)
    held = await claim(metadata, "new")
    await metadata.mark_lost((await claim(metadata, "x")).blob or pytest.fail("gone"), now_s=NOW)
    before = await metadata.totals()
    assert await metadata.integrity() == []
    assert await metadata.mend(now_s=NOW) == 0
    assert await metadata.totals() == before
    await put(metadata, "a", 2, "x")
    await metadata.release(held)
    await discard(metadata, NOW + DAY, NOW + DAY)
    assert await metadata.integrity() == []


async def test_marks_that_are_wrong_are_told_and_mended(metadata: Metadata, tmp_path: Path) -> None:
    await fill(metadata)
    hands = hands_in(metadata, tmp_path)
    for content in ("x", "both"):
        hands.mark_orphan(digest(content))
    hands.unmark_orphan(digest("z"))
    assert await metadata.integrity() == [
        Fault(ORPHANS_WITH_FILES, 2, mendable=True),
        Fault(UNMARKED_ORPHANS, 1, mendable=True),
    ]
    assert await metadata.mend(now_s=NOW + 5) == 3
    assert await metadata.integrity() == []
    assert await discard(metadata, NOW + 5, NOW + DAY) == 0
    assert await discard(metadata, NOW + 6, NOW + DAY) == 1
    assert await listed(metadata) == ["a", "b/c", "b/d", "e"]


async def test_whatever_the_marks_say_a_blob_that_has_a_file_stays(
    metadata: Metadata, tmp_path: Path
) -> None:
    await fill(metadata)
    hands_in(metadata, tmp_path).mark_orphan(digest("x"))
    assert await discard(metadata, NOW + DAY, NOW + DAY) == 1
    assert await content_of(metadata, "a") == digest("x")


async def test_what_is_in_use_is_not_deleted(metadata: Metadata, tmp_path: Path) -> None:
    await fill(metadata)
    hands = hands_in(metadata, tmp_path)
    used = (await metadata.get("a") or pytest.fail("gone")).blob.key
    claimed = await claim(metadata, "comes")
    for key in (used, claimed.key, "store/waste"):
        hands.add_garbage(key)
    assert await metadata.integrity() == [Fault(NEEDED_GARBAGE, 2, mendable=True)]
    assert await metadata.mend(now_s=NOW) == 2
    assert await metadata.garbage(limit=9) == ["store/waste"]
    assert await metadata.integrity() == []


async def test_a_file_below_a_file_is_told_and_left(metadata: Metadata, tmp_path: Path) -> None:
    await fill(metadata)
    await put(metadata, "deep/er/file", 1, "x")
    hands = hands_in(metadata, tmp_path)
    for path in ("a/b", "a/b/c", "a0", "deep/er"):
        hands.add_file(path, digest("x"))
    # `a/b` is below `a`; `a/b/c` below both; `deep/er/file` below `deep/er`.
    kinds = {fault.what: fault for fault in await metadata.integrity()}
    assert kinds[BELOW_A_FILE] == Fault(BELOW_A_FILE, 4, mendable=False)
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == [Fault(BELOW_A_FILE, 4, mendable=False)]
    for path in ("a", "a/b", "deep/er"):
        await delete(metadata, path, 1)
    assert await metadata.integrity() == []


async def test_a_file_whose_blob_is_unknown_is_told_and_can_be_stored_again(
    metadata: Metadata, tmp_path: Path
) -> None:
    await fill(metadata)
    hands_in(metadata, tmp_path).drop_blob(digest("both"))
    found = await metadata.integrity()
    assert Fault(UNKNOWN_BLOB, 2, mendable=False) in found
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == [Fault(UNKNOWN_BLOB, 2, mendable=False)]
    for path in ("b/d", "e"):
        await put(metadata, path, 2, "both")
        assert await content_of(metadata, path) == digest("both")
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == []
