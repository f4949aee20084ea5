"""What every Metadata does for files, whichever database it is on. No store looks at a clock."""

from __future__ import annotations

import pytest
import trio

from parparchik.dedup.types import Blob, File, Metadata, Totals, Written
from parparchik.errors import BadTarget, PathConflict
from tests.dedup.metadata_scene import (
    LIFE,
    NOW,
    blob_at,
    claim,
    content_of,
    delete,
    digest,
    listed,
    put,
)


async def test_what_was_put_is_got(metadata: Metadata) -> None:
    held = await claim(metadata, "one")
    blob = Blob(digest("one"), held.key, 3, 23)
    assert await metadata.put("a/b", 7, blob, held, now_s=NOW) == Written(7, done=True)
    assert await metadata.get("a/b") == File("a/b", 7, blob)
    assert await metadata.get("a") is None
    assert await metadata.get("a/b/") is None
    assert await metadata.totals() == Totals(1, 1, 3, 23, 0, 0)


async def test_equal_contents_are_one_blob(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "same")
    held = await claim(metadata, "same")
    assert held.blob == (await metadata.get("a") or pytest.fail("gone")).blob
    assert held.key == held.blob.key
    await metadata.put("b", 2, held.blob, held, now_s=NOW)
    assert await metadata.totals() == Totals(2, 1, 8, 24, 0, 0)


@pytest.mark.parametrize("version", [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1])
async def test_versions_are_kept_to_the_second(metadata: Metadata, version: int) -> None:
    assert await put(metadata, "a", version, "x") == Written(version, done=True)
    assert (await metadata.get("a") or pytest.fail("gone")).version_s == version
    await delete(metadata, "b", version, tombstone=True)
    assert await metadata.tombstone("b") == version


async def test_versions_that_differ_by_one_are_told_apart(metadata: Metadata) -> None:
    await put(metadata, "a", 2**62 + 1, "new")
    assert await put(metadata, "a", 2**62, "old") == Written(2**62 + 1, done=False)
    assert await listed(metadata, until=2**62) == []
    assert await listed(metadata, until=2**62 + 1) == ["a"]
    assert await delete(metadata, "a", 2**62) == Written(2**62 + 1, done=False)


@pytest.mark.parametrize("version", [-(2**63) - 1, 2**63])
async def test_a_version_beyond_64_bits_is_refused(metadata: Metadata, version: int) -> None:
    with pytest.raises(BadTarget):
        await put(metadata, "a", version, "x")
    with pytest.raises(BadTarget):
        await delete(metadata, "a", version)


@pytest.mark.parametrize("path", ["a\0b", "a/\ud800", "\udfff"])
async def test_what_is_no_text_is_refused(metadata: Metadata, path: str) -> None:
    with pytest.raises(BadTarget):
        await metadata.get(path)
    with pytest.raises(BadTarget):
        await put(metadata, path, 1, "x")
    with pytest.raises(BadTarget):
        await delete(metadata, path, 1)
    with pytest.raises(BadTarget):
        await listed(metadata, path)
    assert (await metadata.totals()).files == 0


async def test_older_does_nothing_and_its_bytes_are_garbage(metadata: Metadata) -> None:
    await put(metadata, "a", 5, "new")
    held = await claim(metadata, "old")
    wanted = blob_at(held, "old")
    assert await metadata.put("a", 4, wanted, held, now_s=NOW) == Written(5, done=False)
    assert await content_of(metadata, "a") == digest("new")
    assert await metadata.garbage(limit=9) == [held.key]
    assert not await metadata.renew(held, now_s=NOW, life_s=LIFE)  # the claim has ended


async def test_older_of_known_content_leaves_the_blob_alone(metadata: Metadata) -> None:
    await put(metadata, "a", 5, "x")
    assert await put(metadata, "a", 4, "x") == Written(5, done=False)
    assert await metadata.garbage(limit=9) == []


async def test_content_of_no_bytes_is_content(metadata: Metadata) -> None:
    nothing = digest("")
    for path in ("a", "b"):
        held = await claim(metadata, "")
        blob = held.blob or Blob(nothing, held.key, 0, 20)
        await metadata.put(path, 1, blob, held, now_s=NOW)
    assert await put(metadata, "a", 2, "x") == Written(2, done=True)
    assert await delete(metadata, "b", 1) == Written(None, done=True)
    assert await metadata.totals() == Totals(1, 2, 1, 41, 1, 0)


@pytest.mark.parametrize("version", [5, 6])
async def test_equal_or_newer_replaces_and_orphans(metadata: Metadata, version: int) -> None:
    await put(metadata, "a", 5, "one")
    assert await put(metadata, "a", version, "two") == Written(version, done=True)
    assert await content_of(metadata, "a") == digest("two")
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.orphans) == (1, 2, 1)


async def test_a_newer_version_of_the_same_content_is_no_orphan(metadata: Metadata) -> None:
    await put(metadata, "a", 5, "one")
    assert await put(metadata, "a", 6, "one") == Written(6, done=True)
    assert (await metadata.totals()).orphans == 0


async def test_the_blob_lives_until_its_last_file_is_gone(metadata: Metadata) -> None:
    await put(metadata, "a", 1, "x")
    await put(metadata, "b", 1, "x")
    assert await delete(metadata, "a", 1) == Written(None, done=True)
    assert (await metadata.totals()).orphans == 0
    assert await delete(metadata, "b", 2) == Written(None, done=True)
    assert (await metadata.totals()).orphans == 1
    await put(metadata, "c", 1, "x")
    assert (await metadata.totals()).orphans == 0


async def test_delete_of_newer_and_of_nothing(metadata: Metadata) -> None:
    await put(metadata, "a", 5, "x")
    assert await delete(metadata, "a", 4, tombstone=True) == Written(5, done=False)
    assert await metadata.get("a") is not None
    assert await delete(metadata, "b", 4) == Written(None, done=False)


async def test_conflicts_of_files_and_folders_change_nothing(metadata: Metadata) -> None:
    await put(metadata, "a/b/c", 1, "x")
    for path in ("a", "a/b", "a/b/c/d", "a/b/c/d/e"):
        held = await claim(metadata, "y")
        with pytest.raises(PathConflict):
            await metadata.look(path, held.digest, now_s=NOW)
        with pytest.raises(PathConflict):
            await metadata.put(path, 9, blob_at(held, "y"), held, now_s=NOW)
        assert await metadata.renew(held, now_s=NOW, life_s=LIFE)  # still to be released
        await metadata.release(held)
    assert await listed(metadata) == ["a/b/c"]
    assert (await metadata.totals()).blobs == 1
    for path in ("a/b/d", "a/bc", "a/b-", "a/b0", "ab", "a0"):
        await metadata.look(path, digest("y"), now_s=NOW)
        assert (await put(metadata, path, 1, "x")).done
    await delete(metadata, "a/b/c", 1)
    await delete(metadata, "a/b/d", 1)
    assert (await put(metadata, "a/b", 1, "x")).done


async def test_a_path_may_be_very_deep(metadata: Metadata) -> None:
    deep = "/".join("d" * 2000)
    assert (await put(metadata, deep, 1, "x")).done
    with pytest.raises(PathConflict):
        await put(metadata, deep + "/e", 1, "x")


async def test_a_tombstone_is_remembered_also_of_nothing(metadata: Metadata) -> None:
    await delete(metadata, "a", 4, tombstone=True)
    assert await metadata.tombstone("a") == 4
    await delete(metadata, "a", 3, tombstone=True)
    assert await metadata.tombstone("a") == 4
    await delete(metadata, "a", 9, tombstone=True)
    assert await metadata.tombstone("a") == 9
    await delete(metadata, "b", 4)
    assert await metadata.tombstone("b") is None


async def test_a_file_hides_its_tombstone(metadata: Metadata) -> None:
    await delete(metadata, "a", 4, tombstone=True)
    assert (await put(metadata, "a", 2, "x")).done  # clients may
    assert await metadata.tombstone("a") is None
    await delete(metadata, "a", 3, tombstone=True)
    assert await metadata.tombstone("a") == 4


@pytest.mark.parametrize(("version", "done"), [(3, False), (4, False), (5, True)])
async def test_an_import_does_not_bring_back_what_was_deleted(
    metadata: Metadata, version: int, done: bool
) -> None:
    await delete(metadata, "a", 4, tombstone=True)
    assert (await put(metadata, "a", version, "x", imported=True)).done is done
    assert (await metadata.get("a") is not None) is done
    assert len(await metadata.garbage(limit=9)) == (not done)


@pytest.mark.parametrize(("version", "done"), [(3, False), (4, False), (5, True)])
async def test_an_import_never_replaces_the_same_version(
    metadata: Metadata, version: int, done: bool
) -> None:
    await put(metadata, "a", 4, "ours")
    written = await put(metadata, "a", version, "theirs", imported=True)
    assert written == Written(5 if done else 4, done=done)
    assert await content_of(metadata, "a") == digest("theirs" if done else "ours")


async def test_of_many_at_once_the_newest_stays(metadata: Metadata) -> None:
    done: list[int] = []

    async def put_one(version: int) -> None:
        if (await put(metadata, "a", version, f"{version % 7}")).done:
            done.append(version)

    async with trio.open_nursery() as nursery:
        for version in range(100):
            nursery.start_soon(put_one, version)
    file = await metadata.get("a")
    assert file is not None
    assert (file.version_s, file.blob.digest) == (99, digest(f"{99 % 7}"))
    assert 99 in done
    totals = await metadata.totals()
    assert (totals.files, totals.blobs, totals.orphans) == (1, totals.orphans + 1, totals.orphans)


async def test_of_a_file_and_a_folder_at_once_one_wins(metadata: Metadata) -> None:
    won: list[str] = []

    async def put_one(path: str) -> None:
        try:
            await put(metadata, path, 1, path)
        except PathConflict:
            return
        won.append(path)

    for number in range(20):
        won.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put_one, f"{number}/a")
            nursery.start_soon(put_one, f"{number}/a/b")
        assert len(won) == 1
