"""Plans, targets and decks: what is refused, and what is dealt."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from bench.load import Ask, BadPlan, Counting, Cycle, Expected, Family, Plan, Target, Zipf

HERE = Target("127.0.0.1", 8080)
ASKS = tuple(Ask(f"/bench/{n}", Expected(302)) for n in range(10))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", HERE),
        ("http://localhost/", Target("localhost", 80)),
        ("https://[::1]", Target("::1", 443, tls=True)),
    ],
)
def test_a_target_is_a_url(url: str, target: Target) -> None:
    assert Target.of(url) == target
    assert target.is_loopback


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"),
        *("http://127.0.0.1/path", "http://127.0.0.1?query", "http://me@127.0.0.1"),
    ],
)
def test_what_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(BadPlan):
        Target.of(url)


@pytest.mark.parametrize(
    "host", ["example.org", "192.0.2.1", "2001:db8::1", "127.0.0.1.example.org"]
)
def test_other_machines_are_not_loopback(host: str) -> None:
    assert not Target(host, 80).is_loopback


def test_http2_wants_tls() -> None:
    with pytest.raises(BadPlan):
        Target.of("http://127.0.0.1", http2=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": None},
        {"duration_s": 0},
        {"duration_s": 1e6},
        {"requests": 10**12},
        {"connections": 0},
        {"connections": 100_000},
        {"connections": 2, "processes": 3},
        {"rate_per_s": -1},
        {"timeout_s": 0},
        {"warm_up_s": -1},
    ],
)
def test_a_plan_without_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadPlan):
        Plan(HERE, Cycle(ASKS), **wrong)


def test_shares_of_a_plan_add_up_to_it() -> None:
    plan = Plan(HERE, Cycle(ASKS), connections=7, processes=3, requests=100, rate_per_s=30)
    shares = [plan.share(process) for process in range(3)]
    assert sum(share.connections for share in shares) == 7
    assert sum(share.requests or 0 for share in shares) == 100
    assert sum(share.rate_per_s or 0 for share in shares) == 30


def test_a_cycle_goes_round_and_processes_begin_elsewhere() -> None:
    deck = Cycle(ASKS)
    assert list(islice(deck.deal(0, 2), 20)) == [*ASKS, *ASKS]
    assert list(islice(deck.deal(1, 2), 10)) == [*ASKS[5:], *ASKS[:5]]


def test_counting_deals_each_number_to_one_process() -> None:
    deck = Counting(Family("/bench/{n:03}", Expected(302, "http://s3/{n:03}"), first=5, count=10))
    dealt = [ask for process in range(3) for ask in deck.deal(process, 3)]
    assert sorted(ask.path for ask in dealt) == [f"/bench/{n:03}" for n in range(5, 15)]
    assert all(ask.expected.location == f"http://s3/{ask.path[-3:]}" for ask in dealt)


def test_zipf_has_few_popular_ones_and_many_others() -> None:
    families = tuple(Family(f"/{b}/{{n}}", Expected(302), 0, 500) for b in "ab")
    deck = Zipf(families, drawn=20_000)
    dealt = list(islice(deck.deal(0, 1), 20_000))
    by_path = Counter(ask.path for ask in dealt)
    (_, first), (_, second), *_ = by_path.most_common()
    assert 1.5 < first / second < 2.5
    assert len(by_path) > 800
    assert {path[1] for path in by_path} == {"a", "b"}
    assert dealt == list(islice(deck.deal(0, 1), 20_000))


@pytest.mark.parametrize(
    "deck",
    [
        Cycle(ASKS),
        Counting(Family("/{n}", Expected(404))),
        Zipf((Family("/{n}", Expected(302), 0, 9),)),
    ],
)
def test_a_deck_that_has_travelled_deals_the_same(deck: Cycle | Counting | Zipf) -> None:
    arrived = pickle.loads(pickle.dumps(deck))
    assert list(islice(arrived.deal(0, 1), 30)) == list(islice(deck.deal(0, 1), 30))
