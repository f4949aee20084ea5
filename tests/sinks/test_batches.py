"""The queue of a sink: batches, trouble, and never in a request's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from parparchik.config.model import SinkConfig
from parparchik.sinks.batches import Batches, Note
from parparchik.sinks.destination import SinkFailed, SinkRefused
from parparchik.sinks.measurement import Measurement
from tests.sinks.scene import SEEN, running


class Fake:
    """A destination that fails as often as it is told."""

    def __init__(self, *fails: Exception | None) -> None:
        self.fails = list(fails)
        self.batches: list[list[Measurement]] = []
        self.at_s: list[float] = []
        self.closed = False
        self.hold: trio.Event | None = None

    def prepare(self, measurements: Any) -> list[Measurement]:
        return list(measurements)

    async def send(self, batch: list[Measurement]) -> None:
        self.at_s.append(trio.current_time())
        if self.hold is not None:
            await self.hold.wait()
        await trio.lowlevel.checkpoint()
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        self.batches.append(batch)

    async def aclose(self) -> None:
        self.closed = True
        await trio.lowlevel.checkpoint()

    @property
    def numbers(self) -> list[list[int]]:
        return [[each.timestamp_ns for each in batch] for batch in self.batches]


def measure(note: Note) -> Measurement:
    common = note.common
    return Measurement(
        note.timestamp_ns, common.method, "/", "", note.peer, 0, 0, 200, compressed=False
    )


def batches(fake: Fake, **settings: Any) -> Batches[list[Measurement]]:
    config = SinkConfig("influx", "tcp://sink", **settings)
    return Batches(config, "sink", fake, measure, aside=at_once)


async def at_once(call: Callable[[], object]) -> Any:
    """Without a thread, which the clock would not wait for."""
    await trio.lowlevel.checkpoint()
    return call()


def note(number: int) -> Note:
    return Note(number, SEEN, 0.001, "::1")


async def test_a_batch_goes_when_it_is_full_and_else_in_time(autojump_clock: MockClock) -> None:
    fake = Fake()
    sink = batches(fake, batch_max=3, flush_s=5.0)
    async with running(sink):
        for number in range(3):
            sink.note(note(number))
        await trio.sleep(0.5)
        assert fake.numbers == [[0, 1, 2]]
        sink.note(note(3))
        await trio.sleep(4.0)
        assert len(fake.numbers) == 1
        await trio.sleep(2.0)
        assert fake.numbers == [[0, 1, 2], [3]]
        for number in range(10, 18):
            sink.note(note(number))
        await trio.sleep(0.5)
        assert fake.numbers[2:] == [[10, 11, 12], [13, 14, 15], [16, 17]]
    assert sink.statistics().sent == 12


async def test_what_is_left_goes_at_the_end(autojump_clock: MockClock) -> None:
    fake = Fake()
    sink = batches(fake, flush_s=100.0)
    async with running(sink):
        await trio.sleep(1)
        sink.note(note(1))
    assert fake.numbers == [[1]]
    assert fake.closed


async def test_what_was_on_its_way_at_the_end_goes_again(autojump_clock: MockClock) -> None:
    fake = Fake()
    sink = batches(fake, batch_max=1)
    fake.hold = trio.Event()
    async with running(sink):
        sink.note(note(1))
        await trio.sleep(1)
        assert fake.at_s
        fake.hold.set()
        fake.hold = None
    assert fake.numbers == [[1]]


async def test_a_full_queue_drops_and_counts(autojump_clock: MockClock) -> None:
    fake = Fake()
    sink = batches(fake, queue_max=5, batch_max=2)
    for number in range(8):
        sink.note(note(number))
    assert (sink.statistics().waiting, sink.statistics().dropped) == (5, 3)
    async with running(sink):
        await trio.sleep(2)
    assert fake.numbers == [[0, 1], [2, 3], [4]]


async def test_a_batch_that_fails_is_sent_again_ever_later(autojump_clock: MockClock) -> None:
    fake = Fake(*[SinkFailed("away")] * 10)
    sink = batches(fake, queue_max=100, flush_s=1.0)
    with structlog.testing.capture_logs() as logs:
        async with running(sink):
            sink.note(note(1))
            await trio.sleep(1000)
    assert fake.numbers == [[1]]
    pauses = [b - a for a, b in zip(fake.at_s, fake.at_s[1:], strict=False)]
    assert pauses[0] <= 0.5
    assert 30 <= pauses[-1] <= 60
    assert sink.statistics().failures == 10
    assert [each["event"] for each in logs] == ["sink is away", "sink is back"]


async def test_a_sink_that_hangs_is_asked_again(autojump_clock: MockClock) -> None:
    fake = Fake()
    fake.hold = trio.Event()
    sink = batches(fake, timeout_s=3.0)
    async with running(sink):
        sink.note(note(1))
        await trio.sleep(5)
        assert sink.statistics().failures == 1
        fake.hold = None
        await trio.sleep(5)
    assert fake.numbers == [[1]]


@pytest.mark.parametrize("error", [SinkRefused("no"), RuntimeError("a defect")])
async def test_a_batch_that_is_not_wanted_costs_no_other(
    autojump_clock: MockClock, error: Exception
) -> None:
    fake = Fake(error)
    sink = batches(fake, batch_max=1)
    with structlog.testing.capture_logs() as logs:
        async with running(sink):
            sink.note(note(1))
            sink.note(note(2))
            await trio.sleep(2)
    assert fake.numbers == [[2]]
    assert sink.statistics().refused == 1
    assert len(logs) == 1


async def test_a_sink_that_is_away_does_not_hold_up_the_end(autojump_clock: MockClock) -> None:
    fake = Fake(*[SinkFailed("away")] * 100)
    sink = batches(fake)
    async with running(sink):
        sink.note(note(1))
        await trio.sleep(100)
        ended_s = trio.current_time()
    assert trio.current_time() - ended_s <= 2.0
    assert sink.statistics().dropped == 1
    assert fake.closed
