"""Several workers and one registry: what one learns, all know; what fails makes no 404."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import Overloaded, Unavailable
from parparchik.model import Bucket
from parparchik.registry import pack
from parparchik.server.tls import Pem
from parparchik.server.workers import messages as m
from parparchik.server.workers.hub import ALIVE_S, CHANGES_MAX
from parparchik.server.workers.remote import FIND_LIMIT_S, REPORTS_MAX, SILENT_S
from tests.fakes import NOW_S, FakeBucket
from tests.server.workers.groups import Group, Worker, pair, until


@pytest.fixture
def first() -> FakeBucket:
    return FakeBucket(Bucket("first", public=True))


@pytest.fixture
def second() -> FakeBucket:
    return FakeBucket("second")


@pytest.fixture
def group(nursery: trio.Nursery, first: FakeBucket, second: FakeBucket) -> Group:
    return Group(nursery, first, second)


async def told(worker: Worker) -> None:
    """Returns when the worker has taken everything that the parent has told so far, and what the
    worker has reported has been taken by the parent."""
    await worker.owner.flush()
    await worker.owner.render("")


async def test_what_one_finds_another_knows(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    one, other = await group.worker(), await group.worker()
    assert await other.where("a") is None
    first.add("a")
    await trio.sleep(4)  # `other` still remembers that it is nowhere
    assert other.lookup.resolve_nowait("a") is not None
    assert await one.where("a") == "first"
    await told(one)
    await told(other)
    assert await other.where("a") == "first"


async def test_what_one_finds_moved_another_knows(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    first.add("a")
    one, other = await group.worker(), await group.worker()
    assert await one.where("a") == await other.where("a") == "first"
    first.remove("a")
    second.add("a")
    await trio.sleep(1.9)
    await one.lookup.resolver.verify("a")  # as if its TTL had passed
    await told(one)
    await told(other)
    first.asked.clear()
    assert await other.where("a") == "second"
    assert first.heads_of("a") == 0


async def test_what_one_finds_gone_another_knows(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    first.add("a")
    one, other = await group.worker(), await group.worker()
    assert await one.where("a") == await other.where("a") == "first"
    await told(one)
    await told(other)
    first.remove("a")
    await one.lookup.resolver.verify("a")
    await told(one)
    await told(other)
    assert group.service.count == 0
    assert await other.where("a") is None


async def test_an_absence_that_is_out_of_date_removes_nothing(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    first.add("a")
    one = await group.worker()
    assert await one.where("a") == "first"
    await told(one)
    # The parent learns that it has moved; `one` has seen it gone from where it was, before.
    group.hub.ports.clear()
    second.add("a")
    first.remove("a")
    await group.service.resolver.verify("a")
    one.owner.report([m.Change("a", m.to_bytes(pack(0, 0, NOW_S)), None)])
    await told(one)
    entry = group.service.registry.get("a")
    assert entry is not None
    assert entry.bucket.name == "second"


async def test_who_reported_an_absence_out_of_date_is_told_what_is_there(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    one = await group.worker()
    assert await one.where("a") is None
    group.hub.ports, ports = set(), group.hub.ports
    group.service.registry.put("a", pack(0, 1, NOW_S))  # and `one` is not told
    group.hub.ports = ports
    first.add("a")
    one.owner.report([m.Change("a", m.to_bytes(pack(1, 1, NOW_S)), None)])
    await told(one)
    await until(lambda: one.lookup.resolve_nowait("a") is None)
    assert await one.where("a") == "first"


async def test_nothing_is_copied_and_each_key_is_asked_for_once(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    for n in range(500):
        first.add(f"k{n}")
    await group.service.sync()
    worker = await group.worker()
    assert len(worker.mirror) == 0
    questions = 0

    async def count(key: str) -> None:
        nonlocal questions
        questions += 1
        assert await worker.where(key) == "first"

    async with trio.open_nursery() as nursery:
        for n in range(100):
            nursery.start_soon(count, f"k{n % 50}")
    assert questions == 100
    assert len(worker.mirror) == 50


async def test_a_mirror_has_an_end(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    for n in range(300):
        first.add(f"k{n}")
    await group.service.sync()
    worker = await group.worker(entries_max=100)
    for n in range(300):
        assert await worker.where(f"k{n}") == "first"
    assert len(worker.mirror) == 100
    assert await worker.where("k0") == "first"


async def test_found_by_another_while_s3_was_asked(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    """The HEAD says absent, which was true when it was answered. It is not remembered."""
    one, other = await group.worker(), await group.worker()
    first.delay_s = 0.5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.where, "a")
        await trio.sleep(0.1)
        first.delay_s = 0
        first.add("a")
        assert await one.where("a") == "first"
    assert await other.where("a") == "first"


async def test_very_many_changes_are_told_as_one(
    group: Group, first: FakeBucket, second: FakeBucket, autojump_clock: MockClock
) -> None:
    first.add("hot")
    worker = await group.worker()
    assert await worker.where("hot") == "first"
    assert await worker.where("k7") is None
    for n in range(CHANGES_MAX + 100):
        second.add(f"k{n}")
    await group.service.sync()
    await told(worker)
    assert len(worker.mirror) == 0
    assert await worker.where("hot") == "first"
    assert await worker.where("k7") == "second"


async def test_keys_of_a_manifest_are_told(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    worker = await group.worker()
    assert await worker.where("a") is None
    first.add("a")
    first.add_manifest("a")
    await group.service.start_up()
    await told(worker)
    assert await worker.where("a") == "first"


async def a_deaf_parent(group: Group) -> Worker:
    """A worker whose parent says nothing."""
    ours, theirs = await pair()
    return await group.join(theirs, ours)


async def test_a_parent_that_says_nothing_makes_no_404(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    worker = await a_deaf_parent(group)
    first.add("a")
    began = trio.current_time()
    for key in ("a", "nowhere"):
        with pytest.raises(Unavailable):
            await worker.ask(key)
    assert trio.current_time() - began == pytest.approx(2 * FIND_LIMIT_S)
    assert worker.owner.reason()
    assert first.heads_of("nowhere") == 0
    await worker.parent_end.aclose()


async def test_known_keys_go_on_without_a_parent(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    worker = await a_deaf_parent(group)
    first.add("a")
    row = ("a", m.to_bytes(pack(0, 0, NOW_S)))
    worker.owner.handle(m.State(ready=True, reason=None, count=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.ask, "a")
        await trio.sleep(0.1)
        worker.owner.handle(m.Found([row]))
    await trio.sleep(10 * SILENT_S)
    assert worker.owner.reason() == "the parent process does not answer"
    assert await worker.where("a") == "first"
    await worker.parent_end.aclose()


async def test_no_more_wait_for_a_parent_than_may(
    nursery: trio.Nursery, first: FakeBucket, autojump_clock: MockClock
) -> None:
    group = Group(nursery, first, max_waiting=3)
    worker = await a_deaf_parent(group)
    refused: list[type[Exception]] = []

    async def ask(key: str) -> None:
        try:
            await worker.ask(key)
        except Unavailable as error:
            refused.append(type(error))

    async with trio.open_nursery() as crowd:
        for n in range(5):
            crowd.start_soon(ask, f"k{n}")
    assert refused[:2] == [Overloaded, Overloaded]
    assert refused[2:] == [Unavailable] * 3
    await worker.parent_end.aclose()


async def test_a_parent_that_does_not_read_costs_a_bounded_queue(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    worker = await a_deaf_parent(group)
    worker.mirror.take("a", pack(0, 0, NOW_S))
    for n in range(REPORTS_MAX + 1):
        worker.mirror.put(f"k{n}", pack(0, 0, NOW_S))
    assert len(worker.mirror) == 0  # asked for anew, and so reported anew
    await worker.parent_end.aclose()


async def test_the_parent_gives_a_sign_of_life(group: Group, autojump_clock: MockClock) -> None:
    worker = await group.worker()
    for _ in range(20):
        await trio.sleep(ALIVE_S)
        assert worker.owner.reason() is None


async def test_what_is_none_of_the_registrys_is_handed_on(
    group: Group, autojump_clock: MockClock
) -> None:
    worker = await group.worker()
    worker.owner._channel.post(m.Up())
    await until(lambda: group.other)
    assert [type(message) for message in group.other] == [m.Up]


async def test_a_worker_that_dies_leaves_nothing_behind(
    group: Group, first: FakeBucket, autojump_clock: MockClock
) -> None:
    first.add("a")
    await group.service.sync()
    one, other = await group.worker(), await group.worker()
    await until(lambda: len(group.hub.ports) == 2)
    await one.end.aclose()
    await until(lambda: len(group.hub.ports) == 1)
    assert await other.where("a") == "first"


async def test_a_hub_ends_when_it_is_retired_and_its_last_worker_is_gone(
    nursery: trio.Nursery, first: FakeBucket, autojump_clock: MockClock
) -> None:
    group = Group(nursery, first)
    over = trio.Event()

    async def run() -> None:
        await group.hub.run()
        over.set()

    nursery.start_soon(run)
    worker = await group.worker()
    await told(worker)
    group.hub.retire()
    first.add("a")
    assert await worker.where("a") == "first"
    assert not over.is_set()
    await worker.end.aclose()
    with trio.fail_after(60):
        await over.wait()


async def test_a_crash_in_the_parent_is_an_error_of_one_request(
    group: Group, first: FakeBucket, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    worker = await group.worker()

    async def crash(key: str) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("internals")

    with monkeypatch.context() as broken:
        broken.setattr(group.service, "update", crash)
        with pytest.raises(Exception, match="the parent process has failed"):
            await worker.owner.update("a")
    await group.service.start_up()
    first.add("a")
    assert await worker.owner.update("a")


def test_every_message_survives_its_way() -> None:
    row = ("k", m.to_bytes(pack(3, 1 << 47, NOW_S)))
    for message in (
        m.Report([m.Change("k", None, row[1], True)]),
        m.Changes([row, ("gone", None)]),
        m.Batch(1, [row]),
        m.Setup("1.2", 3, b"c", {"A": "b"}, [5, 6], 7, 4),
        m.Setup("1.2", 3, b"c", {"A": "b"}, [5, 6], 7, 4, Pem(b"certificate", b"key")),
        m.Renew(Pem(b"certificate", b"key")),
        m.Failed(1, "Denied", "no"),
    ):
        union = m.ToWorker | m.ToParent
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=union) == message
    assert m.from_bytes(row[1]) == pack(3, 1 << 47, NOW_S)
