"""One answer of S3 for many readers, each at a pace of its own."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache.fill import Window, window
from parparchik.content import Span
from parparchik.errors import UpstreamError
from tests.cache.scenes import KIB, MIB, drain, noise, scene


async def test_a_hundred_cold_readers_are_one_request(autojump_clock: object) -> None:
    async with scene(memory_bytes=64 * MIB, max_object_bytes=64 * MIB, slice_bytes=8 * MIB) as s:
        data = noise(50 * MIB)
        s.bucket.piece_bytes = 1 * MIB
        s.bucket.put("a", data)
        right = 0

        async def client() -> None:
            nonlocal right
            found = await s.found("a")
            content = found.content(Span(0, len(data) - 1))
            at = 0
            while (block := await content.read()) is not None:
                assert isinstance(block, bytes | memoryview)
                assert data[at : at + len(block)] == block
                at += len(block)
                await trio.lowlevel.checkpoint()
            content.close()
            right += at == len(data)

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(client)
        assert right == 100
        assert len(s.bucket.asked) == 1
        assert s.bucket.sent_bytes == len(data)
        assert s.cache.statistics().memory_bytes <= 64 * MIB


async def test_who_leaves_takes_nobody_elses_answer_away(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(200 * KIB)
        s.bucket.put("a", data)

        async def slowly(point: str, _: object) -> None:
            if point in ("answering", "reading"):
                await trio.sleep(0.1)

        s.bucket.at = slowly
        answers = []

        async def stays() -> None:
            answers.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.05):
                nursery.start_soon(stays)
                await s.get("a")  # leaves before S3 has answered
            with trio.move_on_after(0.5):
                await s.get("a")  # leaves in mid-body
        assert answers == [("MISS", data)]
        assert len(s.bucket.asked) == 1


async def test_when_all_leave_the_piece_begun_is_finished_and_no_other(
    autojump_clock: object,
) -> None:
    async with scene() as s:
        data = noise(640 * KIB)
        s.bucket.put("a", data)

        async def slowly(point: str, _: object) -> None:
            await trio.sleep(0.1)

        s.bucket.at = slowly
        with trio.move_on_after(0.45):
            await s.get("a")
        await trio.sleep(30)
        assert s.bucket.reading == 0
        assert s.bucket.sent_bytes == 64 * KIB
        s.bucket.at = None
        assert await s.get("a") == ("MISS", data)
        assert s.bucket.spans("a") == [None, Span(64 * KIB, 640 * KIB - 1)]
        assert s.bucket.asked[-1].if_match == s.bucket.objects["a"].representation.etag


async def test_mid_body_death_breaks_the_transfer_for_all(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data)
        s.bucket.break_after["a"] = 150 * KIB
        broken = 0

        async def client() -> None:
            nonlocal broken
            with pytest.raises(UpstreamError, match="broke off"):
                await s.get("a")
            broken += 1

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(client)
        assert broken == 5
        assert len(s.bucket.asked) == 1
        del s.bucket.break_after["a"]
        assert await s.get("a") == ("MISS", data)
        # What had come whole is not asked for again.
        assert s.bucket.spans("a")[1] == Span(128 * KIB, 300 * KIB - 1)


async def test_a_seek_far_ahead_has_a_fill_of_its_own(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(2 * MIB)
        s.bucket.put("a", data)

        async def slowly(point: str, asked: object) -> None:
            if point == "reading":
                await trio.sleep(1)

        s.bucket.at = slowly
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.get, "a")
            await trio.sleep(0.5)
            with trio.fail_after(6):
                assert (await s.range("a", 1_900_000, 1_900_009))[1] == data[1_900_000:1_900_010]
            nursery.cancel_scope.cancel()


async def test_a_fill_stays_two_pieces_ahead_and_gives_up_on_who_does_not_move(
    autojump_clock: object,
) -> None:
    async with scene() as s:
        data = noise(2 * MIB)
        s.bucket.put("a", data)
        found = await s.found("a")
        content = found.content(Span(0, len(data) - 1))
        first = await content.read()
        assert isinstance(first, bytes | memoryview)
        await trio.sleep(1)
        assert s.bucket.sent_bytes == 3 * 65536
        assert s.bucket.reading == 1
        await trio.sleep(10)
        assert s.bucket.reading == 0
        assert bytes(first) + await drain(content) == data
        content.close()
        assert s.bucket.sent_bytes == len(data)


async def test_a_slow_reader_beside_a_fast_one_in_little_memory(autojump_clock: object) -> None:
    async with scene(memory_bytes=200 * KIB) as s:
        data = noise(2 * MIB)
        s.bucket.put("a", data)
        s.bucket.put("b", noise(2 * MIB, 2))
        got = bytearray()

        async def slow() -> None:
            found = await s.found("a")
            content = found.content(Span(0, len(data) - 1))
            while (block := await content.read()) is not None:
                assert isinstance(block, bytes | memoryview)
                got.extend(block)
                await trio.sleep(1)
                assert s.cache.statistics().memory_bytes <= 200 * KIB
            content.close()

        async def fast() -> None:
            for _ in range(10):
                assert (await s.get("a"))[1] == data
                await s.get("b")
                await trio.sleep(2)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)
            nursery.start_soon(fast)
        assert bytes(got) == data


async def test_no_more_fills_at_a_time_than_allowed(autojump_clock: object) -> None:
    async with scene(max_fills=2) as s:
        most = 0

        async def slowly(point: str, _: object) -> None:
            nonlocal most
            most = max(most, s.bucket.reading)
            await trio.sleep(0.1)

        s.bucket.at = slowly
        for n in range(10):
            s.bucket.put(str(n), noise(100, n))
        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(s.get, str(n))
        assert most == 2
        assert len(s.bucket.asked) == 10


async def test_readers_that_do_not_move_do_not_keep_others_from_s3(
    autojump_clock: object,
) -> None:
    async with scene(max_fills=2) as s:
        for key in "ab":
            s.bucket.put(key, noise(2 * MIB))
        s.bucket.put("c", b"c")
        contents = []
        for key in "ab":
            found = await s.found(key)
            contents.append(found.content(Span(0, 2 * MIB - 1)))
            await contents[-1].read()
        await trio.sleep(0.1)
        with trio.fail_after(0.5):
            assert await s.get("c") == ("MISS", b"c")
        for content in contents:
            content.close()


async def test_without_memory_everything_still_comes_whole(autojump_clock: object) -> None:
    async with scene(memory_bytes=0) as s:
        data = noise(700 * KIB)
        s.bucket.put("a", data)
        for _ in range(2):
            assert await s.get("a") == ("MISS", data)
            await wait_all_tasks_blocked()
        assert len(s.bucket.asked) == 2


def test_many_fills_are_not_so_far_ahead() -> None:
    slice_bytes = 8 * MIB
    assert window(0, slice_bytes) == window(1, slice_bytes) == Window(2, 3)
    assert window(8, slice_bytes) == Window(2, 3)
    assert window(10, slice_bytes) == Window(1, 2)
    assert window(64, slice_bytes) == Window(0, 1)
    for fills in range(1, 17):
        assert fills * (window(fills, slice_bytes).held + 1) * slice_bytes <= 256 * MIB


async def test_many_fills_still_come_to_an_end(autojump_clock: object) -> None:
    """With pieces so large that none is read ahead."""
    async with scene(slice_bytes=8 * MIB, max_object_bytes=64 * MIB, max_fills=64) as s:
        s.bucket.piece_bytes = MIB
        data = noise(20 * MIB)
        keys = [str(n) for n in range(20)]
        for key in keys:
            s.bucket.put(key, data)
        right = []

        async def client(key: str) -> None:
            right.append((await s.get(key))[1] == data)

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(client, key)
        assert right == [True] * 20
        assert len(s.bucket.asked) == 20
