"""Which keys a bucket has: the truth, with few requests, whatever the listing is like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from parparchik.errors import UpstreamError
from parparchik.model import Bucket, ListPage
from parparchik.registry.entries import bucket_index, size_and_time
from parparchik.registry.presence import Prober
from parparchik.registry.progress import Progress
from parparchik.registry.survey import ABSENT, PAGE_WEIGHT, UNKNOWN, Survey
from tests.fakes import NOW_S, FakeBucket, denied, server_error, unavailable

any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)


async def survey(store: FakeBucket, keys: list[str], max_in_flight: int = 8) -> Survey:
    progress = Progress()
    progress.begin("verifying", len(keys))
    done = Survey(Prober([store], 64), 0, keys, progress)
    await done.run(max_in_flight)
    assert progress.done == progress.total
    assert done.heads == store.requests["head"]
    return done


def truth(store: FakeBucket, keys: list[str]) -> list[bool]:
    return [key in store.objects for key in keys]


def present(done: Survey) -> list[bool]:
    assert UNKNOWN not in done.answers
    return [answer != ABSENT for answer in done.answers]


def names(count: int, start: int = 0) -> list[str]:
    return [f"k{n:06}" for n in range(start, start + count)]


async def test_a_handful_of_keys_is_asked_for_by_head() -> None:
    store = FakeBucket("files", *names(10_000))
    done = await survey(store, names(PAGE_WEIGHT, 9_995))
    assert present(done) == [True] * 5 + [False] * 11
    assert (done.heads, done.pages) == (PAGE_WEIGHT, 0)


async def test_a_bucket_with_little_else_is_listed() -> None:
    store = FakeBucket("files", *names(1000), page_size=100)
    keys = names(1005)
    done = await survey(store, keys)
    assert present(done) == truth(store, keys)
    assert (done.heads, done.pages) == (0, 10)


async def test_a_listing_longer_than_the_heads_is_given_up() -> None:
    store = FakeBucket("files", *names(20_000), page_size=100)
    keys = names(20_000)[::400]
    done = await survey(store, keys)
    assert present(done) == [True] * 50
    assert done.pages == 1
    assert 49 <= done.heads <= 50


async def test_what_the_pages_settled_is_not_asked_again() -> None:
    # Dense at first, then thin: the listing pays for a while.
    store = FakeBucket("files", *names(500), *names(50_000, 10_000), page_size=100)
    keys = names(500) + names(50_000, 10_000)[::1000]
    done = await survey(store, keys)
    assert present(done) == [True] * 550
    assert done.pages * PAGE_WEIGHT <= 500 + PAGE_WEIGHT * 2
    assert done.heads <= 50
    assert not any(store.heads_of(key) for key in names(500))


async def test_the_listing_begins_where_the_keys_do() -> None:
    store = FakeBucket("files", *names(50_000), *(f"z{key}" for key in names(100)), page_size=100)
    done = await survey(store, [f"z{key}" for key in names(100)])
    assert done.heads == 0
    assert done.pages <= 2


@given(
    st.frozensets(any_key, max_size=60),
    st.frozensets(any_key, max_size=60),
    st.integers(1, 20),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_answers_are_the_truth(
    held: frozenset[str], asked: frozenset[str], page_size: int, scrambled: bool
) -> None:
    store = FakeBucket("files", *held, page_size=page_size)
    # In another order, but not so that the first page alone could be taken for all there is.
    store.scrambled = scrambled and page_size > len(held) // 2 + 1
    keys = sorted(asked | set(sorted(held)[::2]))

    async def main() -> None:
        assert present(await survey(store, keys)) == truth(store, keys)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_size_and_time_come_with_the_answer() -> None:
    store = FakeBucket("files")
    for key in (listed := names(100)):
        store.add(key, b"x" * 7, last_modified_s=1_600_000_000)
    for keys in (listed, listed[:3]):
        done = await survey(store, keys)
        store.asked.clear()
        assert {size_and_time(answer) for answer in done.answers} == {(7, 1_600_000_000)}
        assert {bucket_index(answer) for answer in done.answers} == {0}


async def test_nothing_is_concluded_from_a_listing_out_of_order(
    autojump_clock: MockClock,
) -> None:
    store = FakeBucket("files", *names(100), page_size=60)
    store.scrambled = True
    store.fail(denied, "head")
    done = await survey(store, names(100))
    # By the time the disorder shows, every other key looked absent.
    assert done.answers == [UNKNOWN] * 100


async def test_what_a_bucket_reserves_it_has_not() -> None:
    # Another bucket keeps its manifest elsewhere and may have such files as entries.
    store = FakeBucket(Bucket("files", "state/files.json"), "state/secret", *names(100))
    keys = [*names(100), "state/secret"]
    done = await survey(store, keys)
    assert done.pages == 1
    assert done.answers[-1] == ABSENT
    assert (await survey(FakeBucket(store.bucket, "state/secret"), ["state/secret"])).answers == [
        ABSENT
    ]


@pytest.mark.parametrize("error", [unavailable, denied, server_error])
async def test_a_listing_that_fails_in_the_middle_is_made_up_for_by_heads(
    autojump_clock: MockClock, error: Callable[[], UpstreamError]
) -> None:
    store = FakeBucket("files", *names(200), page_size=50)

    def break_the_listing(operation: str, key: str) -> None:
        if store.requests["list"] == 3:
            store.fail(error, "list")

    store.on_request = break_the_listing
    done = await survey(store, names(210))
    assert present(done) == truth(store, names(210))
    assert done.heads == 110


class CircularBucket(FakeBucket):
    """Its listing shows everything once and then goes on for ever."""

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        page = await super().list_page(start_after=start_after, prefix=prefix)
        return ListPage([] if token else page.objects, "again")


async def test_a_listing_that_goes_in_circles_is_left() -> None:
    with trio.fail_after(60):
        done = await survey(CircularBucket("files", *names(500)), names(510))
    assert present(done) == [True] * 500 + [False] * 10


async def test_an_outage_is_waited_out(autojump_clock: MockClock) -> None:
    store = FakeBucket("files", *names(300))
    store.delay_s = 0.1
    store.fail(denied, "list")

    async def outage() -> None:
        await trio.sleep(2)
        store.hanging = True
        await trio.sleep(3600)
        store.mend()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outage)
        done = await survey(store, names(310))
    assert present(done) == truth(store, names(310))
    # While S3 was away it was asked now and then, and not once for every key.
    assert store.requests["head"] < 310 + 200


@pytest.mark.parametrize("bad", [1, 5, 40])
async def test_single_keys_that_keep_failing_stay_unknown(
    autojump_clock: MockClock, bad: int
) -> None:
    store = FakeBucket("files", *names(200))
    store.fail(denied, "list")
    store.failing_keys = dict.fromkeys(names(200)[::3][:bad], unavailable)
    done = await survey(store, names(200))
    unknown = [
        key for key, answer in zip(names(200), done.answers, strict=True) if answer == UNKNOWN
    ]
    assert unknown == list(store.failing_keys)


async def test_what_is_refused_is_asked_once(autojump_clock: MockClock) -> None:
    store = FakeBucket("files", *names(100))
    store.fail(denied)
    done = await survey(store, names(100))
    assert done.answers == [UNKNOWN] * 100
    assert done.heads == 100


@pytest.mark.parametrize("max_in_flight", [1, 16])
async def test_heads_in_flight_are_bounded(autojump_clock: MockClock, max_in_flight: int) -> None:
    store = FakeBucket("files", *names(100))
    store.fail(denied, "list")
    store.delay_s = 0.1
    await survey(store, names(100), max_in_flight)
    assert store.most_in_flight == max_in_flight
    assert store.objects["k000000"].head.last_modified_s == NOW_S
