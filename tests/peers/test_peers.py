"""Peers are told of every change; whoever made it waits for those that answer, and no longer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.content import ObjectName
from parparchik.peers.peer import CHECK_EVERY_S, FIRST_BACK_OFF_S, LAST_WORDS_S, LONGEST_BACK_OFF_S
from tests.peers.hosts import ONE, OTHER, Fleet, Host, Start, config_of


@pytest.fixture
def start(nursery: trio.Nursery) -> Start:
    async def start(hosts: dict[str, Host], **settings: float) -> Fleet:
        fleet = Fleet(hosts)
        fleet.peers.use(config_of(*hosts, **settings))  # type: ignore[arg-type]
        await nursery.start(fleet.peers.run)
        await wait_all_tasks_blocked()
        return fleet

    return start


async def until(true: Callable[[], object]) -> None:
    with trio.fail_after(600):
        while not true():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_all_have_forgotten_when_the_writer_is_answered(
    autojump_clock: MockClock, start: Start
) -> None:
    one, other = Host("1"), Host("2")
    fleet = await start({ONE: one, OTHER: other})
    assert await fleet.change("x", "y") == 0
    assert one.names == other.names == [("x", "y")]
    assert {each.sender for each in one.heard} == {fleet.peers.instance}
    assert [each.forgotten for each in fleet.peers.statistics()] == [2, 2]


async def test_without_peers_nothing_is_waited_for(autojump_clock: MockClock, start: Start) -> None:
    assert await (await start({})).change("x") == 0


async def test_what_collects_goes_in_one_request(
    autojump_clock: MockClock, start: Start, nursery: trio.Nursery
) -> None:
    host = Host("1", gate=trio.Event())
    fleet = await start({ONE: host})
    host.heard.clear()
    for key in ("x", "y", "z", "x"):
        nursery.start_soon(fleet.change, key)
    await wait_all_tasks_blocked()
    assert host.asked == 1, "the question whether it is there is under way"
    assert host.gate is not None
    host.gate.set()
    host.gate = None
    await until(lambda: host.names)
    assert [sorted(each) for each in host.names] == [["x", "y", "z"]]


async def test_one_that_is_away_holds_nobody_and_is_told_when_it_is_back(
    autojump_clock: MockClock, start: Start
) -> None:
    away, there = Host("1", away="refused"), Host("2")
    fleet = await start({ONE: away, OTHER: there})
    for key in ("x", "y"):
        assert await fleet.change(key) == 0
    assert there.names == [("x",), ("y",)]
    one, _ = fleet.peers.statistics()
    assert (one.reachable, one.pending, one.forgotten) == (False, 2, 0)
    assert one.errors >= 1
    await trio.sleep(100)
    away.away = ""
    await trio.sleep(LONGEST_BACK_OFF_S)
    assert away.names == [("x", "y")]
    one, _ = fleet.peers.statistics()
    assert (one.reachable, one.pending, one.forgotten) == (True, 0, 2)
    assert one.succeeded_at_s > 0


async def test_one_that_is_slow_holds_one_write_and_no_longer_than_is_set(
    autojump_clock: MockClock, start: Start
) -> None:
    slow = Host("1")
    fleet = await start({ONE: slow}, wait_s=0.5)
    slow.gate = trio.Event()
    assert await fleet.change("x") == pytest.approx(0.5)
    assert await fleet.change("y") == 0, "nobody else waits until it has answered"
    slow.gate.set()
    await until(lambda: slow.names == [("x",), ("y",)])
    slow.gate = trio.Event()
    assert await fleet.change("z") == pytest.approx(0.5), "it is waited for again"


async def test_writes_need_not_wait_at_all(autojump_clock: MockClock, start: Start) -> None:
    slow = Host("1", gate=trio.Event())
    fleet = await start({ONE: slow}, wait_s=0)
    assert await fleet.change("x") == 0
    assert slow.gate is not None
    slow.gate.set()
    await until(lambda: slow.names == [("x",)])


async def test_a_request_that_fails_ends_the_waiting(
    autojump_clock: MockClock, start: Start, nursery: trio.Nursery
) -> None:
    host = Host("1")
    fleet = await start({ONE: host}, wait_s=5)
    host.gate = trio.Event()
    held: list[float] = []

    async def change() -> None:
        held.append(await fleet.change("x"))

    nursery.start_soon(change)
    await wait_all_tasks_blocked()
    host.away = "reset"
    host.gate.set()
    await until(lambda: held)
    assert held[0] < 1


async def test_repeated_ever_later(autojump_clock: MockClock, start: Start) -> None:
    host = Host("1", away="refused")
    await start({ONE: host})
    await trio.sleep(1000)
    assert 1000 / LONGEST_BACK_OFF_S < host.asked < 2 * 1000 / LONGEST_BACK_OFF_S + 20


async def test_one_that_speaks_may_be_one_that_is_back(
    autojump_clock: MockClock, start: Start
) -> None:
    host = Host("1", away="refused")
    fleet = await start({ONE: host})
    await trio.sleep(1000)
    await fleet.change("x")
    host.away = ""
    began = trio.current_time()
    for _ in range(100):
        fleet.peers.hear()
    await until(lambda: host.names)
    assert trio.current_time() - began < 2 * FIRST_BACK_OFF_S


async def test_to_speak_often_is_not_to_be_asked_often(
    autojump_clock: MockClock, start: Start
) -> None:
    host = Host("1", away="refused")
    fleet = await start({ONE: host})
    await trio.sleep(1000)
    before = host.asked
    for _ in range(100):
        fleet.peers.hear()
        await trio.sleep(0.01)
    assert host.asked - before < 1 / FIRST_BACK_OFF_S * 2 + 2


async def test_too_many_for_one_that_is_away_are_all_of_their_bucket(
    autojump_clock: MockClock, start: Start
) -> None:
    host = Host("1", away="refused")
    fleet = await start({ONE: host}, queue=3)
    for n in range(100):
        await fleet.change(f"k{n}")
    host.away = ""
    await trio.sleep(LONGEST_BACK_OFF_S)
    told = [each for each in host.heard if each.names or each.below]
    assert [(each.names, each.below) for each in told] == [([], [("b", "")])]
    assert fleet.peers.statistics()[0].collapsed == 1


async def test_oneself_among_the_peers_is_left_out(autojump_clock: MockClock, start: Start) -> None:
    me, other = Host(""), Host("2")
    fleet = Fleet({ONE: me, OTHER: other})
    me.instance = fleet.peers.instance
    fleet.peers.use(config_of(ONE, OTHER))
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.peers.run)
        await wait_all_tasks_blocked()
        me.gate = trio.Event()
        for key in ("x", "y"):
            assert await fleet.change(key) == 0
        assert (me.names, other.names) == ([], [("x",), ("y",)])
        assert [each.url for each in fleet.peers.statistics()] == [OTHER]
        nursery.cancel_scope.cancel()


async def test_somebody_else_takes_our_address(autojump_clock: MockClock, start: Start) -> None:
    host = Host("")
    fleet = await start({ONE: host})
    host.instance = fleet.peers.instance
    await trio.sleep(2 * CHECK_EVERY_S)
    assert fleet.peers.statistics() == ()
    await fleet.change("x")
    host.instance = "another"
    host.heard.clear()
    await trio.sleep(2 * CHECK_EVERY_S)
    assert [sorted(each.below) for each in host.heard if each.below] == [[("a", ""), ("b", "")]]
    assert [each.url for each in fleet.peers.statistics()] == [ONE]


async def test_an_error_of_ours_is_said_and_nothing_is_lost(
    autojump_clock: MockClock, start: Start
) -> None:
    broken, other = Host("1", crash=ValueError("a bug")), Host("2")
    with structlog.testing.capture_logs() as logs:
        fleet = await start({ONE: broken, OTHER: other})
        await fleet.change("x")
        assert other.names == [("x",)]
        broken.crash = None
        await trio.sleep(LONGEST_BACK_OFF_S)
    assert broken.names == [("x",)]
    assert any(each["event"] == "peer not told" and each["exc_info"] for each in logs)


async def test_a_line_for_each_change_of_state_alone(
    autojump_clock: MockClock, start: Start
) -> None:
    with structlog.testing.capture_logs() as logs:
        host = Host("1", away="refused")
        fleet = await start({ONE: host})
        for n in range(40):
            host.away = ("refused", "no such key")[n // 10 % 2]
            await fleet.change("x")
            await trio.sleep(3)
        host.away = ""
        await trio.sleep(100)
    assert [(each["event"], each["peer"]) for each in logs] == [
        ("cache peer is away", ONE),
        ("cache peer is away", ONE),
        ("cache peer is back", ONE),
    ]
    assert [each["reason"] for each in logs[:2]] == ["refused", "no such key"]


async def test_what_is_left_is_told_at_the_end(autojump_clock: MockClock, start: Start) -> None:
    host = Host("1", gate=trio.Event())
    fleet = Fleet({ONE: host})
    fleet.peers.use(config_of(ONE))
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.peers.run)
        fleet.peers.tell([ObjectName("b", "x")], [("b", "d/")])
        await wait_all_tasks_blocked()
        host.gate = None
        nursery.cancel_scope.cancel()
    assert host.names == [("x", "d/")]
    assert host.closed == 1


async def test_the_end_does_not_wait_for_one_that_hangs(
    autojump_clock: MockClock, start: Start
) -> None:
    host = Host("1", gate=trio.Event())
    fleet = Fleet({ONE: host})
    fleet.peers.use(config_of(ONE))
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.peers.run)
        fleet.peers.tell([ObjectName("b", "x")], ())
        await wait_all_tasks_blocked()
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(LAST_WORDS_S)
    assert host.closed == 1


async def test_other_settings_lose_nothing(autojump_clock: MockClock, start: Start) -> None:
    """What waits for a peer waits on; one that is new is told from then on."""
    away, new = Host("1", away="refused"), Host("2")
    fleet = await start({ONE: away})
    await fleet.change("x")
    fleet.hosts[OTHER] = new
    fleet.peers.use(config_of(ONE, OTHER))
    await wait_all_tasks_blocked()
    await fleet.change("y")
    assert new.names == [("y",)]
    away.away = ""
    await until(lambda: away.names)
    assert away.names == [("x", "y")]
    fleet.peers.use(config_of(OTHER))
    await wait_all_tasks_blocked()
    await fleet.change("z")
    assert (away.names, new.names) == ([("x", "y")], [("y",), ("z",)])
