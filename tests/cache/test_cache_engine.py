"""What comes from S3 once is given again, to many at once, whole and in parts."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent, Policy
from parparchik.content import Span
from parparchik.errors import Unavailable
from tests.cache.scenes import (
    KIB,
    MIB,
    POLICY,
    SMALL,
    Scene,
    body,
    noise,
    scene,
    until,
    wall_clock,
)


async def test_a_small_object_is_asked_for_once_and_then_ready(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(1000)
        s.bucket.put("a", data, content_type="text/plain", headers=(("x-amz-meta-a", "b"),))
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        assert await s.get("a") == ("MISS", data)
        found = s.cache.find_nowait(s.name("a"), POLICY)
        assert found is not None
        assert not isinstance(found, Absent)
        assert (found.status, found.body) == ("HIT", data)
        assert found.representation == s.bucket.objects["a"].representation
        assert s.cache.find_nowait(s.name("a"), POLICY) is found
        assert await s.get("a") == ("HIT", data)
        assert len(s.bucket.asked) == 1
        await trio.sleep(7)
        assert found.age_s == 7
        assert found.fresh_for_s == pytest.approx(53)


async def test_an_empty_object(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"")
        assert await s.get("a") == ("MISS", b"")
        assert await s.get("a") == ("HIT", b"")
        found = s.cache.find_nowait(s.name("a"), POLICY)
        assert found is not None
        assert not isinstance(found, Absent)
        assert found.body == b""
        assert await body(found, Span(0, -1)) == b""
        assert len(s.bucket.asked) == 1
        s.bucket.put("b", b"")
        b = await s.found("b", wanted=Span(0, 10))
        assert await body(b, Span(0, -1)) == b""


async def test_an_object_of_many_pieces(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(300 * KIB + 17)
        s.bucket.put("a", data)
        assert await s.get("a") == ("MISS", data)
        assert await s.get("a") == ("HIT", data)
        for first, last in [(0, 0), (65535, 65536), (70_000, 250_000), (0, len(data) - 1)]:
            assert await s.range("a", first, last) == ("HIT", data[first : last + 1])
        assert len(s.bucket.asked) == 1


async def test_an_absence_is_remembered_for_a_while(autojump_clock: object) -> None:
    async with scene() as s:
        found = await s.find("a")
        assert isinstance(found, Absent)
        assert found.status == "MISS"
        again = s.cache.find_nowait(s.name("a"), POLICY)
        assert isinstance(again, Absent)
        assert again.status == "HIT"
        await s.find("a")
        assert len(s.bucket.asked) == 1
        s.bucket.put("a", b"new")
        await trio.sleep(5.1)
        assert await s.get("a") == ("MISS", b"new")


async def test_absences_are_bounded_the_oldest_goes(autojump_clock: object) -> None:
    async with scene(negative_max=3) as s:
        for key in "abcd":
            await s.find(key)
        assert s.cache.statistics().negatives == 3
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        assert isinstance(s.cache.find_nowait(s.name("b"), POLICY), Absent)


async def test_a_failure_is_no_absence_and_is_not_remembered(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.failing["open"] = lambda: Unavailable("S3 is away", retry_after_s=7)
        with pytest.raises(Unavailable, match="away"):
            await s.find("a")
        s.bucket.failing.clear()
        s.bucket.put("a", b"x")
        assert await s.get("a") == ("MISS", b"x")
        assert s.cache.statistics().errors == 1


async def test_readers_share_the_bytes(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", noise(40 * KIB))
        one, other = await s.found("a"), await s.found("a")
        assert one.body is other.body
        s.bucket.put("b", noise(150 * KIB))
        await s.get("b")
        found = await s.found("b")
        contents = [found.content(Span(0, 150 * KIB - 1)) for _ in range(2)]
        blocks = [await content.read() for content in contents]
        assert blocks[0] is blocks[1]
        for content in contents:
            content.close()


async def test_a_range_of_an_unknown_object_asks_for_its_slices_alone(
    autojump_clock: object,
) -> None:
    async with scene() as s:
        data = noise(2 * MIB)
        s.bucket.put("a", data)
        assert await s.range("a", 1_000_000, 1_000_100) == ("MISS", data[1_000_000:1_000_101])
        first = 1_000_000 // 65536 * 65536
        assert s.bucket.spans("a") == [Span(first, first + 65535)]
        await wait_all_tasks_blocked()
        assert s.bucket.sent_bytes == 65536
        assert await s.range("a", first, first + 65535) == ("HIT", data[first : first + 65536])
        assert await s.range("a", 0, 70_000) == ("MISS", data[:70_001])
        assert s.bucket.spans("a")[1:] == [Span(0, 2 * 65536 - 1)]
        # An open range stops where pieces are held, and goes on after them.
        assert await s.range("a", 0, len(data) - 1) == ("MISS", data)
        assert s.bucket.sent_bytes == len(data)


async def test_a_range_beyond_the_end_is_found_all_the_same(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"abc")
        found = await s.found("a", wanted=Span(100, 200))
        assert found.representation.size_bytes == 3
        assert await body(found) == b"abc"
        found = await s.found("a", wanted=Span(100_000, 200_000))
        assert found.status == "HIT"


async def test_heads_ask_without_a_body(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"abc", content_type="text/plain")
        found = await s.cache.find(s.name("a"), POLICY, "head")
        assert not isinstance(found, Absent)
        assert (found.status, found.representation.size_bytes) == ("MISS", 3)
        found = await s.cache.find(s.name("a"), POLICY, "head")
        assert found.status == "HIT"
        assert [asked.operation for asked in s.bucket.asked] == ["stat"]
        assert await s.get("a") == ("MISS", b"abc")


async def test_a_server_without_ranges(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.knows_ranges = False
        data = noise(500 * KIB)
        s.bucket.put("a", data)
        assert await s.range("a", 300_000, 300_010) == ("MISS", data[300_000:300_011])
        assert await s.range("a", 100_000, 400_000) == ("MISS", data[100_000:400_001])


async def test_what_is_too_large_passes_through(autojump_clock: object) -> None:
    async with scene(max_object_bytes=100 * KIB) as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data)
        assert await s.get("a") == ("BYPASS", data)
        assert len(s.bucket.asked) == 1
        assert await s.get("a") == ("BYPASS", data)
        assert len(s.bucket.asked) == 2
        assert await s.range("a", 5, 70_000) == ("MISS", data[5:70_001])
        await wait_all_tasks_blocked()
        assert await s.range("a", 5, 70_000) == ("HIT", data[5:70_001])


async def test_a_passage_that_nobody_takes_is_given_up(autojump_clock: object) -> None:
    async with scene(max_object_bytes=100 * KIB) as s:
        s.bucket.put("a", noise(300 * KIB))
        await s.found("a")
        assert s.bucket.reading == 1
        await trio.sleep(11)
        assert s.bucket.reading == 0


async def test_without_run_it_says_so(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", noise(300 * KIB))
        await s.range("a", 0, 65535)
        await wait_all_tasks_blocked()
        outlived: Scene = s
    with pytest.raises(Unavailable):
        await outlived.find("b")
    # What is in memory is good all the same.
    assert len((await outlived.range("a", 0, 100))[1]) == 101


async def test_who_waits_when_the_cache_closes_is_told(autojump_clock: object) -> None:
    async def never(point: str, _: object) -> None:
        await trio.sleep_forever()

    told = []

    async def client(s: Scene) -> None:
        try:
            await s.get("a")
        except Unavailable as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        async with scene() as s:
            s.bucket.put("a", noise(300 * KIB))
            s.bucket.at = never
            nursery.start_soon(client, s)
            await trio.sleep(1)
        await until(lambda: bool(told))


async def test_a_policy_of_another_mount_has_its_own_answer(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x")
        await s.get("a")
        other = Policy(ttl_s=10)
        one = s.cache.find_nowait(s.name("a"), POLICY)
        two = s.cache.find_nowait(s.name("a"), other)
        assert one is s.cache.find_nowait(s.name("a"), POLICY)
        assert two is s.cache.find_nowait(s.name("a"), other)
        await trio.sleep(11)
        assert s.cache.find_nowait(s.name("a"), POLICY) is one


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_ready_counts_as_used_when_it_is_given(
    at_once: bool, autojump_clock: object
) -> None:
    """No reader says so: an answer takes such a body as it is."""
    async with scene(memory_bytes=100 * KIB) as s:
        for key in "abc":
            s.bucket.put(key, noise(30 * KIB))
            await s.get(key)
        await wait_all_tasks_blocked()
        if at_once:
            assert s.cache.find_nowait(s.name("a"), POLICY) is not None
        else:
            assert (await s.found("a")).body is not None
        s.bucket.put("d", noise(30 * KIB))
        await s.get("d")
        assert s.cache.find_nowait(s.name("a"), POLICY) is not None
        assert s.cache.find_nowait(s.name("c"), POLICY) is not None
        assert (await s.get("b"))[0] == "MISS"


async def test_memory_is_never_beyond_its_budget(autojump_clock: object) -> None:
    async with scene(SMALL, memory_bytes=300 * KIB) as s:
        for n in range(40):
            s.bucket.put(str(n), noise(20 * KIB, n))
            assert (await s.get(str(n)))[1] == noise(20 * KIB, n)
            assert s.cache.statistics().memory_bytes <= 300 * KIB
        assert s.cache.statistics().evictions > 0
        assert s.cache.statistics().evicted_at_s == wall_clock()
        assert (await s.get("39"))[0] == "HIT"
        assert (await s.get("0"))[0] == "MISS"
