"""Lists: which files, in which order, and how they come."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.dedup.listing import BLOCK_BYTES, Listing
from parparchik.dedup.parting import Closing
from parparchik.dedup.types import Blob, File
from parparchik.errors import Unavailable
from tests.dedup.mount_scene import body_of, date, mounted, refused
from tests.objects.scene import header

BLOB = Blob("0" * 64, "k", 1, 1)


async def test_what_lies_below_a_folder_relative_to_it() -> None:
    async with mounted() as scene:
        for path in ("a/x", "a/b/y", "a/b/c/z", "ab/x", "a.b", "b"):
            await scene.put(path, b"x")
        assert await scene.listed() == ["a.b", "a/b/c/z", "a/b/y", "a/x", "ab/x", "b"]
        assert await scene.listed("a") == ["b/c/z", "b/y", "x"]
        assert await scene.listed("a/") == ["b/c/z", "b/y", "x"]
        assert await scene.listed("a/b") == ["c/z", "y"]
        assert await scene.listed("ab") == ["x"]
        assert (await scene.ask("list")).body == (await scene.ask("list/")).body


async def test_a_cut_off_includes_its_second() -> None:
    async with mounted() as scene:
        for version in (-5, 0, 5):
            await scene.put(f"at{version}", b"x", version)
        for until, expected in ((-6, 0), (-5, 1), (-1, 1), (0, 2), (4, 2), (5, 3)):
            assert len(await scene.listed(query=f"?last_modified={date(until)}")) == expected


async def test_a_folder_without_files_is_empty() -> None:
    async with mounted() as scene:
        await scene.put("a/b", b"x", 50)
        for folder in ("none", "a/c", "a/b2", "b"):
            answer = await scene.ask(f"list/{folder}")
            assert (answer.status, answer.body, answer.size_bytes) == (200, b"", 0)
            assert header(answer, "content-type") == "text/plain; charset=utf-8"
        assert await scene.listed("a", f"?last_modified={date(49).replace(' ', '+')}") == []
        await scene.delete("a/b")
        assert await scene.listed("a") == []


async def test_a_file_has_no_files_below_it() -> None:
    async with mounted() as scene:
        await scene.put("a/b", b"x")
        assert "is a file" in refused(await scene.ask("list/a/b"))
        assert "is a file" in refused(await scene.ask(f"list/a/b/?last_modified={date(0)}"))


async def test_a_head_of_a_list_has_no_body() -> None:
    async with mounted() as scene:
        await scene.put("a", b"x")
        answer = await scene.ask("list", method="HEAD")
        assert (answer.status, answer.size_bytes) == (200, 2)


async def pages(count: int, page: int = 1000, *, fail: bool = False) -> AsyncIterator[list[File]]:
    for start in range(0, count, page):
        yield [File(f"folder/{n:08}", 0, BLOB) for n in range(start, min(count, start + page))]
        await trio.lowlevel.checkpoint()
    if fail:
        raise Unavailable("the metadata store is away")


async def count_blocks(listing: Listing) -> int:
    blocks = 0
    while await listing.read() is not None:
        blocks += 1
    return blocks


async def test_a_million_paths_in_constant_memory() -> None:
    """A fifth of them here, for the time's sake: the memory does not grow with their number."""
    listing = Listing(pages(200_000), "folder", part=lambda _: None)
    assert await listing.begin() is None
    count = 0
    tracemalloc.start()
    try:
        while (block := await listing.read()) is not None:
            assert len(block) <= BLOCK_BYTES + 100
            count += block.count(b"\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 2 << 20


async def test_who_does_not_want_the_rest_closes_it() -> None:
    parted: list[Closing] = []
    listing = Listing(pages(100_000), "folder", part=parted.append)
    assert await listing.begin() is None
    assert await listing.read()
    listing.close()
    listing.close()
    assert await listing.read() is None
    (each,) = parted
    await each.aclose()


async def test_a_failure_before_the_first_line_is_told_and_later_breaks_off() -> None:
    listing = Listing(pages(10, fail=True), "folder", part=lambda _: None)
    with pytest.raises(Unavailable):
        await listing.begin()
    listing = Listing(pages(100_000, fail=True), "folder", part=lambda _: None)
    assert await listing.begin() is None
    with pytest.raises(Unavailable):
        await count_blocks(listing)


async def test_a_long_list_comes_as_it_is_read() -> None:
    async with mounted() as scene:
        for number in range(300):
            await scene.put(f"{number:05}" + "x" * 400, b"x")
        answer = await scene.ask("list")
        assert answer.open_ended
        assert answer.content is not None
        assert (await body_of(answer)).count(b"\n") == 300


names = st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1)


@given(st.lists(st.lists(names, max_size=7), max_size=5))
@settings(max_examples=50)
def test_whatever_the_pages_the_lines_are_the_same(lists: Sequence[list[str]]) -> None:
    async def every() -> AsyncIterator[list[File]]:
        for each in lists:
            yield [File(name, 0, BLOB) for name in each]

    async def main() -> bytes:
        listing = Listing(every(), "", part=lambda _: None)
        whole = await listing.begin()
        assert whole is not None
        assert await listing.read() in (None, whole)
        return whole

    lines = [name.encode() + b"\n" for each in lists for name in each]
    assert trio.run(main) == b"".join(lines)
