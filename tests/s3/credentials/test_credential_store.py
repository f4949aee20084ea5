"""The store: what it hands out, and when it asks, by a clock that costs no time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStore
from parparchik.s3.credentials.schedule import ask_again_in_s, backoff_s, renew_in_s
from parparchik.s3.credentials.source import NotConfigured, SourceError
from parparchik.s3.sigv4 import Credentials

EPOCH_S = 1_800_000_000.0
HOUR_S = 3600.0


def wall() -> float:
    """A wall clock that goes with trio's."""
    return EPOCH_S + trio.current_time()


class FakeSource:
    """A source that issues credentials of one life, numbered; or fails while `broken` is set."""

    def __init__(self, name: str = "fake", *, life_s: float | None = HOUR_S) -> None:
        self.name = name
        self.life_s = life_s
        self.broken: str | None = None
        self.absent = False
        self.rotates = True
        self.takes_s = 0.0
        self.asked_at: list[float] = []
        self._numbers = itertools.count(1)
        self._issued: Credentials | None = None

    async def fetch(self) -> Credentials | NotConfigured:
        self.asked_at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.absent:
            return NotConfigured("not set")
        if self.broken:
            raise SourceError(self.broken)
        if self._issued is None or self.rotates:
            expires_at_s = None if self.life_s is None else wall() + self.life_s
            self._issued = Credentials(
                f"{self.name.upper()}{next(self._numbers)}", "secret", "token", expires_at_s
            )
        return self._issued


def make(*sources: FakeSource, chance: Callable[[], float] = lambda: 0.5) -> CredentialStore:
    return CredentialStore(sources, now=wall, chance=chance)


async def test_nothing_before_the_first_answer() -> None:
    store = make(FakeSource("first"), FakeSource("second"))
    with pytest.raises(NoCredentials, match="no source was asked yet"):
        store.current()
    status = store.describe()
    assert (status.source, status.key_id_tail, status.expires_at_s) == ("first, second", "", None)


@pytest.mark.parametrize(("chance", "lead_s"), [(0.0, 900), (0.5, 750), (1.0, 600)])
async def test_renews_ten_to_fifteen_minutes_before_the_end(
    autojump_clock: MockClock, nursery: trio.Nursery, chance: float, lead_s: float
) -> None:
    source = FakeSource(life_s=6 * HOUR_S)
    store = make(source, chance=lambda: chance)
    await nursery.start(store.run)
    assert store.current().access_key_id == "FAKE1"
    await trio.sleep(6 * HOUR_S - lead_s - 1)
    assert store.current().access_key_id == "FAKE1"
    await trio.sleep(2)
    assert store.current().access_key_id == "FAKE2"


async def test_credentials_without_an_end_are_asked_for_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource(life_s=None)
    store = make(source)
    await nursery.start(store.run)
    await trio.sleep(366 * 24 * HOUR_S)
    assert store.current().access_key_id == "FAKE1"
    assert len(source.asked_at) == 1


@pytest.mark.parametrize("life_s", [3.0, 30.0, 900.0, 3600.0, 6 * 3600.0])
async def test_no_gap_and_no_flood_whatever_the_life(
    autojump_clock: MockClock, nursery: trio.Nursery, life_s: float
) -> None:
    source = FakeSource(life_s=life_s)
    source.takes_s = min(0.5, life_s / 10)
    store = make(source)
    await nursery.start(store.run)
    for _ in range(200):
        await trio.sleep(life_s / 10)
        expires_at_s = store.current().expires_at_s
        assert expires_at_s is not None
        assert expires_at_s > wall()
    # 20 lives: each renewal uses at least half of one.
    assert 20 <= len(source.asked_at) <= 40


async def test_the_last_good_ones_serve_through_an_outage_until_they_expire(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource(life_s=HOUR_S)
    store = make(source, chance=lambda: 1.0)
    with capture_logs() as logs:
        await nursery.start(store.run)
        source.broken = "answered with status 500"
        await trio.sleep(HOUR_S - 1)
        assert store.current().access_key_id == "FAKE1"
        assert store.describe().failure == ("no credentials for S3: fake: answered with status 500")
        await trio.sleep(70)
        with pytest.raises(NoCredentials) as caught:
            store.current()
        assert "fake: the credentials expired at 2027-01-15T09:00:00Z" in str(caught.value)
        assert "answered with status 500" in str(caught.value)
        source.broken = None
        await trio.sleep(61)
        assert store.current().access_key_id == "FAKE2"
        assert store.describe().failure is None
    failures = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["failures"] for entry in failures] == list(range(1, len(failures) + 1))
    assert {entry["reason"] for entry in failures} == {
        "no credentials for S3: fake: answered with status 500"
    }
    assert [entry["last_good_ones_still_serve"] for entry in (failures[0], failures[-1])] == [
        True,
        False,
    ]


async def test_retries_slow_down_but_go_on(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource()
    source.broken = "down"
    store = make(source, chance=lambda: 1.0)
    await nursery.start(store.run)
    await trio.sleep(HOUR_S)
    pauses = [later - earlier for earlier, later in itertools.pairwise(source.asked_at)]
    assert pauses[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60])
    assert set(pauses[7:]) == {60.0}
    source.broken = None
    await trio.sleep(60)
    assert store.current().access_key_id == "FAKE1"
    source.broken = "down again"
    await trio.sleep(HOUR_S)
    after = [at for at in source.asked_at if at > HOUR_S + 60]
    assert after[1] - after[0] == pytest.approx(1)  # a new series, from the start


async def test_a_source_with_nothing_new_yet_is_asked_again_soon(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource(life_s=HOUR_S)
    store = make(source, chance=lambda: 0.0)
    with capture_logs() as logs:
        await nursery.start(store.run)
        source.rotates = False
        await trio.sleep(HOUR_S - 300)  # it has new ones five minutes before the end
        assert store.current().access_key_id == "FAKE1"
        assert 9 <= len(source.asked_at) <= 12
        source.rotates = True
        await trio.sleep(61)
        assert store.current().access_key_id == "FAKE2"
    assert [entry["event"] for entry in logs] == ["credentials found", "credentials renewed"]


async def test_an_expired_answer_is_a_failure_and_replaces_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource(life_s=HOUR_S)
    store = make(source)
    await nursery.start(store.run)
    source.life_s = -5.0
    await trio.sleep(HOUR_S - 10)
    assert len(source.asked_at) > 1
    assert store.current().access_key_id == "FAKE1"
    assert "the credentials expired at" in (store.describe().failure or "")


async def test_a_step_of_the_wall_clock_is_noticed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    step_s = 0.0
    source = FakeSource(life_s=6 * HOUR_S)
    store = CredentialStore([source], now=lambda: wall() + step_s, chance=lambda: 0.5)
    await nursery.start(store.run)
    await trio.sleep(10)
    step_s = 6 * HOUR_S - 60  # as after a suspension
    await trio.sleep(60)
    assert len(source.asked_at) == 2


async def test_renewal_keeps_to_the_source_that_answered(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeSource("first"), FakeSource("second")
    first.absent = True
    store = make(first, second)
    await nursery.start(store.run)
    first.absent = False
    await trio.sleep(HOUR_S)
    assert store.current().access_key_id.startswith("SECOND")
    assert len(first.asked_at) == 1
    assert len(second.asked_at) == 2


async def test_after_the_end_every_source_is_asked_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = FakeSource("first"), FakeSource("second")
    first.absent = True
    store = make(first, second)
    await nursery.start(store.run)
    second.broken = "gone"
    await trio.sleep(HOUR_S + 1)
    first.absent = False
    await trio.sleep(60)
    assert store.current().access_key_id == "FIRST1"


async def test_run_starts_even_when_nothing_answers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    source = FakeSource()
    source.broken = "down"
    store = make(source)
    await nursery.start(store.run)
    with pytest.raises(NoCredentials, match="fake: down"):
        store.current()
    source.broken = None
    await trio.sleep(60)
    assert store.current().access_key_id == "FAKE1"


async def test_callers_of_load_share_one_answer(autojump_clock: MockClock) -> None:
    source = FakeSource()
    source.takes_s = 1
    store = make(source)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(store.load)
        nursery.start_soon(store.run)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert store.current().access_key_id == "FAKE1"
    await store.load()
    assert len(source.asked_at) == 1


async def test_load_says_why_it_failed_and_can_be_tried_again() -> None:
    source = FakeSource()
    source.broken = "down"
    store = make(source)
    with pytest.raises(NoCredentials, match="fake: down"):
        await store.load()
    source.broken = None
    await store.load()
    assert store.current().access_key_id == "FAKE1"


async def test_a_cancelled_attempt_leaves_the_store_usable(autojump_clock: MockClock) -> None:
    source = FakeSource()
    source.takes_s = 10
    store = make(source)
    with trio.move_on_after(1):
        await store.load()
    await store.load()
    assert store.current().access_key_id == "FAKE1"  # the cancelled attempt had issued none


async def test_describe_names_the_source_the_key_and_the_end(autojump_clock: MockClock) -> None:
    store = make(FakeSource("instance"))
    await store.load()
    status = store.describe()
    assert status.source == "instance"
    assert status.key_id_tail == "NCE1"
    assert status.expires_at_s == pytest.approx(EPOCH_S + HOUR_S)
    assert status.failure is None


lives = st.floats(min_value=0.001, max_value=86_400)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(lives, chances)
def test_renewal_comes_after_a_moment_and_before_the_end(life_s: float, chance: float) -> None:
    pause_s = renew_in_s(life_s, chance=chance)
    assert pause_s >= 1
    if life_s > 2:
        assert life_s / 2 <= pause_s < life_s
        assert life_s - pause_s <= 900 + 1e-6
    if life_s >= 2700:
        assert life_s - pause_s >= 600 - 1e-6


@given(lives)
def test_asking_again_leaves_room_for_more_tries(life_s: float) -> None:
    assert 1 <= ask_again_in_s(life_s) <= 60
    assert ask_again_in_s(life_s) <= max(1.0, life_s / 2)


@given(st.integers(min_value=1, max_value=10**6), chances)
def test_backoff_is_bounded(failures: int, chance: float) -> None:
    assert 0 <= backoff_s(failures, chance=chance) < 60
