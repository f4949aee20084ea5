"""How long an answer is good, what happens after that, and what S3 has to say in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from parparchik.cache import Absent
from parparchik.content import Span
from parparchik.errors import Denied, Unavailable
from parparchik.rfc import format_http_date
from tests.cache.scenes import KIB, MIB, POLICY, body, break_off, noise, scene
from tests.fakes_bytes import NOW_S, BytesAsked

STALE_OK = replace(POLICY, stale_while_revalidate_s=30, stale_if_error_s=1000)


def cache_control(value: str) -> tuple[tuple[str, str], ...]:
    return (("cache-control", value),)


async def test_what_has_expired_is_asked_about_and_not_fetched_again(
    autojump_clock: object,
) -> None:
    async with scene() as s:
        etag = s.bucket.put("a", b"x").etag
        await s.get("a")
        await trio.sleep(61)
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        assert await s.get("a") == ("REVALIDATED", b"x")
        assert s.bucket.asked[-1] == BytesAsked("open", "a", None, etag)
        assert s.bucket.sent_bytes == 1
        assert await s.get("a") == ("HIT", b"x")
        assert (await s.found("a")).age_s == 0


async def test_what_has_changed_comes_with_the_same_request(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        s.bucket.put("a", b"newer")
        assert await s.get("a") == ("HIT", b"old")
        await trio.sleep(61)
        assert await s.get("a") == ("MISS", b"newer")
        assert await s.get("a") == ("HIT", b"newer")
        assert len(s.bucket.asked) == 2


async def test_what_is_gone_is_absent_from_then_on(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        del s.bucket.objects["a"]
        await trio.sleep(61)
        assert isinstance(await s.find("a"), Absent)
        assert isinstance(s.cache.find_nowait(s.name("a"), POLICY), Absent)
        assert len(s.bucket.asked) == 2


async def test_expiry_is_no_stampede(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x")
        await s.get("a")
        await trio.sleep(61)
        got = []

        async def client() -> None:
            got.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(client)
        assert got == [("REVALIDATED", b"x")] * 50
        assert len(s.bucket.asked) == 2


async def test_stale_while_revalidate(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        s.bucket.put("a", b"newer")
        await trio.sleep(61)
        found = s.cache.find_nowait(s.name("a"), STALE_OK)
        assert found is not None
        assert not isinstance(found, Absent)
        assert (found.status, found.body) == ("STALE", b"old")
        assert found.fresh_for_s < 0
        assert s.cache.find_nowait(s.name("a"), STALE_OK) is found
        await wait_all_tasks_blocked()
        assert len(s.bucket.asked) == 2
        assert await s.get("a", STALE_OK) == ("HIT", b"newer")
        await trio.sleep(60 + 31)
        assert s.cache.find_nowait(s.name("a"), STALE_OK) is None
        assert await s.get("a", STALE_OK) == ("REVALIDATED", b"newer")


async def test_stale_if_error_is_for_errors_alone(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        await trio.sleep(200)
        policy = replace(STALE_OK, stale_while_revalidate_s=0)
        s.bucket.failing["open"] = lambda: Unavailable("S3 is away")
        assert await s.get("a", policy) == ("STALE", b"old")
        asked = len(s.bucket.asked)
        # While that lasts nobody waits for S3, which is asked once in a while.
        assert await s.get("a", policy) == ("STALE", b"old")
        await wait_all_tasks_blocked()
        assert len(s.bucket.asked) == asked
        await trio.sleep(1.1)
        assert await s.get("a", policy) == ("STALE", b"old")
        await wait_all_tasks_blocked()
        assert len(s.bucket.asked) == asked + 1
        # Denied is an error as well, and an absence is none.
        s.bucket.failing["open"] = lambda: Denied("S3 says 403")
        await trio.sleep(1.1)
        assert await s.get("a", policy) == ("STALE", b"old")
        await trio.sleep(1000)
        with pytest.raises(Denied):
            await s.get("a", policy)
        s.bucket.failing.clear()
        del s.bucket.objects["a"]
        assert isinstance(await s.find("a", policy), Absent)


async def test_without_stale_if_error_the_error_shows(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old")
        await s.get("a")
        await trio.sleep(61)
        s.bucket.failing["open"] = lambda: Unavailable("S3 is away")
        with pytest.raises(Unavailable):
            await s.get("a")
        s.bucket.failing.clear()
        assert await s.get("a") == ("REVALIDATED", b"old")


@pytest.mark.parametrize(
    ("value", "fresh_s"),
    [("max-age=10", 10), ("max-age=10, s-maxage=20", 20), ("public", 60), ("max-age=600", 600)],
)
async def test_cache_control_says_how_long(
    value: str, fresh_s: int, autojump_clock: object
) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control(value))
        await s.get("a")
        await trio.sleep(fresh_s - 1)
        assert (await s.get("a"))[0] == "HIT"
        await trio.sleep(1.1)
        assert (await s.get("a"))[0] == "REVALIDATED"


async def test_expires_says_how_long(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=(("expires", format_http_date(NOW_S + 100)),))
        s.bucket.put("b", b"x", headers=(("expires", "0"),))
        await s.get("a")
        await s.get("b")
        await trio.sleep(99)
        assert (await s.get("a"))[0] == "HIT"
        assert (await s.get("b"))[0] == "REVALIDATED"


async def test_cache_control_may_be_ignored(autojump_clock: object) -> None:
    policy = replace(POLICY, respect_cache_control=False)
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control("no-store, max-age=1"))
        assert (await s.get("a", policy))[0] == "MISS"
        await trio.sleep(59)
        assert (await s.get("a", policy))[0] == "HIT"
        # And who respects it is not given what another was allowed to keep.
        assert (await s.get("a"))[0] == "BYPASS"


async def test_no_cache_is_kept_and_asked_about_each_time(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control("no-cache"))
        assert (await s.get("a", STALE_OK))[0] == "MISS"
        for n in range(3):
            assert (await s.get("a", STALE_OK))[0] == "REVALIDATED"
            assert len(s.bucket.asked) == 2 + n
        assert s.bucket.sent_bytes == 1
        s.bucket.failing["open"] = lambda: Unavailable("S3 is away")
        with pytest.raises(Unavailable):
            await s.get("a", STALE_OK)


@pytest.mark.parametrize("value", ["no-store", "private, max-age=100"])
async def test_what_may_not_be_kept_is_each_askers_own(value: str, autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data, headers=cache_control(value))
        assert await s.get("a") == ("BYPASS", data)
        assert s.cache.find_nowait(s.name("a"), POLICY) is None
        got = []

        async def client() -> None:
            got.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(client)
        assert got == [("BYPASS", data)] * 5
        assert len(s.bucket.asked) == 6
        assert await s.range("a", 100_000, 100_010) == ("BYPASS", data[100_000:100_011])
        assert s.bucket.asked[-1].span == Span(100_000, 100_010)
        head = await s.cache.find(s.name("a"), POLICY, "head")
        assert head.status == "BYPASS"
        # Where S3 changes its mind it is kept, at the latest with the request after next.
        s.bucket.put("a", b"x")
        await s.get("a")
        await s.get("a")
        assert await s.get("a") == ("HIT", b"x")


async def test_askers_at_once_of_what_may_not_be_kept_get_their_own(
    autojump_clock: object,
) -> None:
    async with scene() as s:
        data = noise(100 * KIB)
        s.bucket.put("a", data, headers=cache_control("no-store"))
        got = []

        async def client() -> None:
            got.append(await s.get("a"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(client)
        assert got == [("BYPASS", data)] * 5
        assert len(s.bucket.asked) == 5


async def test_a_second_span_of_what_passes_is_asked_for(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(300 * KIB)
        s.bucket.put("a", data, headers=cache_control("no-store"))
        found = await s.found("a")
        assert await body(found, Span(10, 20)) == data[10:21]
        assert await body(found, Span(100, 250_000)) == data[100:250_001]
        assert s.bucket.asked[-1].if_match == found.representation.etag


async def test_a_304_brings_new_headers(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control("max-age=10"))
        await s.get("a")
        s.bucket.put("a", b"x", headers=cache_control("max-age=1000"))
        await trio.sleep(11)
        assert (await s.get("a"))[0] == "REVALIDATED"
        await trio.sleep(500)
        found = await s.found("a")
        assert found.status == "HIT"
        assert found.representation.header("cache-control") == "max-age=1000"


async def test_must_revalidate_is_never_stale(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control("max-age=10, must-revalidate"))
        await s.get("a", STALE_OK)
        await trio.sleep(11)
        assert s.cache.find_nowait(s.name("a"), STALE_OK) is None
        s.bucket.failing["open"] = lambda: Unavailable("S3 is away")
        with pytest.raises(Unavailable):
            await s.get("a", STALE_OK)


async def test_a_stale_object_larger_than_a_piece(autojump_clock: object) -> None:
    async with scene() as s:
        data = noise(500 * KIB)
        s.bucket.put("a", data)
        await s.get("a")
        await trio.sleep(61)
        assert await s.range("a", 300_000, 400_000) == ("REVALIDATED", data[300_000:400_001])
        newer = noise(600 * KIB, 2)
        s.bucket.put("a", newer)
        await trio.sleep(61)
        assert await s.range("a", 300_000, 400_000) == ("MISS", newer[300_000:400_001])
        assert s.bucket.asked[-1].span == Span(262_144, 458_751)


async def test_a_reader_of_what_has_changed_gets_no_mixture(autojump_clock: object) -> None:
    async with scene() as s:
        old, new = noise(1 * MIB, 1), noise(1 * MIB, 2)
        s.bucket.put("a", old)
        await s.range("a", 0, 1000)
        await wait_all_tasks_blocked()
        s.bucket.put("a", new)
        # Known as fresh; the first piece that is missing tells, before anything is answered.
        assert await s.range("a", 500_000, 500_010) == ("MISS", new[500_000:500_011])
        assert await s.get("a") == ("MISS", new)


async def test_a_reader_in_mid_body_of_what_has_changed_breaks(autojump_clock: object) -> None:
    async with scene() as s:
        old, new = noise(1 * MIB, 1), noise(1 * MIB, 2)
        s.bucket.put("a", old)
        await s.range("a", 0, 1000)
        await wait_all_tasks_blocked()
        found = await s.found("a", wanted=Span(0, 1 * MIB - 1))
        s.bucket.put("a", new)
        content = found.content(Span(0, 1 * MIB - 1))
        got = await break_off(content)
        content.close()
        assert old.startswith(got)
        assert await s.get("a") == ("MISS", new)


@pytest.mark.parametrize("knows_conditions", [True, False])
async def test_a_server_without_if_match_is_found_out(
    knows_conditions: bool, autojump_clock: object
) -> None:
    async with scene() as s:
        s.bucket.knows_conditions = knows_conditions
        old, new = noise(1 * MIB, 1), noise(1 * MIB, 2)
        s.bucket.put("a", old)
        await s.range("a", 0, 1000)
        s.bucket.put("a", new)
        assert await s.range("a", 500_000, 500_010) == ("MISS", new[500_000:500_011])


async def test_without_etags_size_and_time_tell(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"old", etag="")
        await s.get("a")
        await trio.sleep(61)
        assert (await s.get("a"))[1] == b"old"
        s.bucket.now_s += 1
        s.bucket.put("a", b"new", etag="")
        await trio.sleep(61)
        assert (await s.get("a"))[1] == b"new"


async def test_a_head_revalidates_too(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x")
        await s.get("a")
        await trio.sleep(61)
        found = await s.cache.find(s.name("a"), POLICY, "head")
        assert found.status == "REVALIDATED"
        assert await s.get("a") == ("HIT", b"x")
        s.bucket.put("a", b"y")
        await trio.sleep(61)
        found = await s.cache.find(s.name("a"), POLICY, "head")
        assert found.status == "MISS"
        assert await s.get("a") == ("MISS", b"y")


async def test_s3_says_for_how_long_it_may_be_stale(autojump_clock: object) -> None:
    async with scene() as s:
        s.bucket.put("a", b"x", headers=cache_control("max-age=1, stale-while-revalidate=500"))
        await s.get("a")
        await trio.sleep(400)
        assert await s.get("a", POLICY) == ("STALE", b"x")
