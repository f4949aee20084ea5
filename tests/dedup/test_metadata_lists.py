"""How every Metadata lists, whichever database it is on."""

from __future__ import annotations

from contextlib import aclosing

import trio

from parparchik.dedup.types import Metadata
from tests.dedup.metadata_scene import delete, digest, listed, put

NAMES = ("a", "a-", "a.b", "a/", "a0", "b", "é", "ä", "z", "\U0001f600", "\uffff", "Ω", "A", "~")


async def test_the_order_is_that_of_utf8(metadata: Metadata) -> None:
    paths = {f"f/{name.strip('/')}" for name in NAMES} | {
        f"g{name}/x" for name in NAMES if "/" not in name
    }
    for path in paths:
        await put(metadata, path, 1, "x")
    assert await listed(metadata) == sorted(paths, key=str.encode)
    below = sorted((path for path in paths if path.startswith("f/")), key=str.encode)
    assert await listed(metadata, "f") == below


async def test_a_folder_is_what_lies_below_it(metadata: Metadata) -> None:
    for path in ("a/b", "a/c/d", "ab/x", "a-b/x", "a.b", "b"):
        await put(metadata, path, 1, "x")
    assert await listed(metadata, "a") == ["a/b", "a/c/d"]
    assert await listed(metadata, "a/c") == ["a/c/d"]
    assert await listed(metadata, "a/b") == []  # a file
    assert await listed(metadata, "nothing") == []
    assert [
        await metadata.has_below(folder) for folder in ("", "a", "a/c", "a/b", "ab/x", "x")
    ] == [*(True, True, True, False, False, False)]


async def test_nothing_is_below_nothing(metadata: Metadata) -> None:
    assert await listed(metadata) == []
    assert not await metadata.has_below("")


async def test_the_cut_off_is_inclusive(metadata: Metadata) -> None:
    for version in (-5, 0, 5):
        await put(metadata, f"v{version}", version, "x")
    assert await listed(metadata, until=-6) == []
    assert await listed(metadata, until=-5) == ["v-5"]
    assert await listed(metadata, until=0) == ["v-5", "v0"]
    assert await listed(metadata, until=2**70) == ["v-5", "v0", "v5"]
    assert await listed(metadata, until=-(2**70)) == []


async def test_long_lists_come_in_parts_and_whole(metadata: Metadata) -> None:
    paths = [f"d/{number:05}" for number in range(2003)]
    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(put, metadata, path, int(path[2:]) % 2, path)
    sizes: list[int] = []
    async with aclosing(metadata.list("d", until_s=1)) as pages:  # type: ignore[type-var]
        async for page in pages:
            assert [file.path for file in page] == paths[sum(sizes) : sum(sizes) + len(page)]
            assert all(file.blob.digest == digest(file.path) for file in page)
            sizes.append(len(page))
    assert sum(sizes) == len(paths)
    assert max(sizes) <= 2000
    assert await listed(metadata, until=0) == paths[::2]
    digests = [blob.digest async for page in metadata.blobs() for blob in page]
    assert digests == sorted(digest(path) for path in paths)


async def test_a_list_goes_on_while_files_come_and_go(metadata: Metadata) -> None:
    paths = [f"{number:05}" for number in range(3000)]
    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(put, metadata, path, 1, "x")
    seen: list[str] = []
    async with aclosing(metadata.list("", until_s=1)) as pages:  # type: ignore[type-var]
        async for page in pages:
            seen += [file.path for file in page]
            await delete(metadata, seen[-1], 1)
            await delete(metadata, seen[0], 1)
    assert seen == paths
