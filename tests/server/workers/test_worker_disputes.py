"""Reports that cross on their way to the parent: what S3 says last is what all know in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Unavailable
from parparchik.model import Bucket
from parparchik.registry import pack
from parparchik.server.workers import messages as m
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.disputes import DISPUTES_MAX, Disputes
from parparchik.server.workers.hub import Port
from tests.fakes import NOW_S, FakeBucket, unavailable
from tests.server.workers.groups import Group, Worker, pair, until

BEFORE = m.to_bytes(pack(0, 0, NOW_S))
OVERWRITTEN = m.to_bytes(pack(0, 5, NOW_S))
"""What the slower HEAD saw: the file where it was, and larger."""

MOVED = m.to_bytes(pack(1, 0, NOW_S))
"""What the HEAD after it found, and is true."""


@pytest.fixture
def first() -> FakeBucket:
    return FakeBucket(Bucket("first", public=True))


@pytest.fixture
def second() -> FakeBucket:
    return FakeBucket("second", "a")


@pytest.fixture
def group(nursery: trio.Nursery, first: FakeBucket, second: FakeBucket) -> Group:
    """Of which the registry has `a` where it was before."""
    group = Group(nursery, first, second, verify="never")
    group.service.registry.put("a", pack(0, 0, NOW_S))
    return group


def known(group: Group) -> bytes | None:
    return m.to_bytes(group.service.registry.packed("a"))


async def a_port(group: Group) -> Port:
    ours, theirs = await pair()
    for end in (ours, theirs):
        await end.aclose()
    return Port(group.hub, Channel(ours, m.ToParent, m.AnswersOfWorkers))


def change(now: bytes | None, seen: bytes | None = BEFORE) -> m.Change:
    return m.Change("a", seen, now)


ORDERS = [
    [OVERWRITTEN, MOVED],
    [MOVED, OVERWRITTEN],
    [None, MOVED],
    [MOVED, None],
    [OVERWRITTEN, None],
]


@pytest.mark.parametrize("order", ORDERS)
async def test_in_whatever_order_they_come(
    group: Group, order: list[bytes | None], autojump_clock: MockClock
) -> None:
    one, other = await a_port(group), await a_port(group)
    for port, now in zip((one, other), order, strict=True):
        group.hub.apply([change(now)], port)
    await until(lambda: known(group) == MOVED)


async def test_what_fits_together_is_not_asked_for(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    one, other = await a_port(group), await a_port(group)
    for port in (one, other):  # both have found the same
        group.hub.apply([change(MOVED)], port)
    group.hub.apply([change(OVERWRITTEN, MOVED), change(MOVED, OVERWRITTEN)], one)
    assert known(group) == MOVED
    for _ in range(2):
        group.hub.apply([change(None, MOVED)], other)
    assert known(group) is None
    await trio.sleep(60)
    assert first.heads_of("a") == second.heads_of("a") == 0


async def test_however_many_cross_s3_is_asked_once(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    port = await a_port(group)
    for size_bytes in range(1, 100):
        group.hub.apply([change(m.to_bytes(pack(0, size_bytes, NOW_S)))], port)
    await until(lambda: known(group) == MOVED)
    await trio.sleep(60)
    assert first.heads_of("a") == second.heads_of("a") == 1


async def test_one_that_comes_while_s3_is_asked_has_it_asked_again(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    """What S3 answered was true when it answered, and is no longer when it is heard."""
    second.remove("a")
    first.add("a", b"12345")
    first.delay_s = 0.5
    one, other = await a_port(group), await a_port(group)
    group.hub.apply([change(OVERWRITTEN)], one)
    group.hub.apply([change(None)], other)
    await trio.sleep(0.1)
    first.remove("a")
    second.add("a")
    group.hub.apply([change(MOVED, OVERWRITTEN)], one)
    await trio.sleep(60)
    assert known(group) == MOVED


async def test_s3_is_asked_until_it_tells(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    first.failing["head"] = unavailable
    one, other = await a_port(group), await a_port(group)
    group.hub.apply([change(OVERWRITTEN)], one)
    group.hub.apply([change(MOVED)], other)
    await trio.sleep(60)
    assert known(group) == OVERWRITTEN
    first.failing.clear()
    await until(lambda: known(group) == MOVED)


async def know(worker: Worker, where: str) -> None:
    assert await worker.where("a") == where


@pytest.mark.parametrize("late", [OVERWRITTEN, None], ids=["larger", "gone"])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_all_workers_know_what_is_true(
    group: Group,
    first: FakeBucket,
    late: bytes | None,
    newest_first: bool,
    autojump_clock: MockClock,
) -> None:
    """Over real channels: `slow` has seen what was, `quick` what is."""
    slow, quick, third = [await group.worker() for _ in range(3)]
    for worker in (slow, quick, third):
        await know(worker, "first")

    async def tell_slowly() -> None:
        if late is None:
            slow.mirror.discard("a")
        else:
            slow.mirror.put("a", m.from_bytes(late) or 0)
        await slow.owner.flush()

    async def tell_quickly() -> None:
        await quick.lookup.resolver.verify("a")
        await quick.owner.flush()

    for tell in (tell_quickly, tell_slowly) if newest_first else (tell_slowly, tell_quickly):
        await tell()
    await trio.sleep(60)
    assert known(group) == MOVED
    for worker in (slow, quick, third):
        await know(worker, "second")


# -- alone ------------------------------------------------------------------------------------


@dataclass
class S3:
    asked: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    async def verify(self, key: str) -> None:
        self.asked.append(key)
        await trio.sleep(1)
        if key == "crash":
            raise RuntimeError("internals")
        if self.asked.count(key) <= 3 and key == "away":
            raise Unavailable("away")


async def test_what_fails_at_one_key_leaves_the_others(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    s3 = S3()
    disputes = Disputes(s3.verify, s3.settled.append)
    nursery.start_soon(disputes.run)
    for key in ("crash", "away", *map(str, range(100))):
        assert disputes.add(key)
    await trio.sleep(60)
    assert sorted(s3.settled) == sorted(["crash", "away", *map(str, range(100))])
    assert s3.asked.count("away") == 4
    assert "crash" not in disputes
    assert disputes.add("crash")


async def test_there_is_an_end_to_them(autojump_clock: MockClock) -> None:
    s3 = S3()
    disputes = Disputes(s3.verify, s3.settled.append)
    for n in range(DISPUTES_MAX):
        assert disputes.add(str(n))
    assert not disputes.add("one more")
    assert disputes.add("0")
    assert "one more" not in disputes
