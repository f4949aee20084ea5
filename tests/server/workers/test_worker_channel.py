"""The stream between the parent and a worker: questions and answers, and its ends."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import (
    CredentialsRefused,
    Denied,
    NoBucket,
    NoCredentials,
    NotSupported,
    Overloaded,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
    WrongRegion,
)
from parparchik.registry import PersistFailed
from parparchik.server.workers import messages as m
from parparchik.server.workers.channel import CALLS_MAX, HIGH_WATER_BYTES, Channel
from parparchik.server.workers.faults import ParentFailed, from_message, to_message
from parparchik.server.workers.frames import BrokenFrame, frame
from tests.server.workers.groups import pair, until

ERRORS = [
    UpstreamError("odd"),
    Denied("403"),
    CredentialsRefused("403, the key"),
    NoBucket("no such bucket"),
    PreconditionFailed("412"),
    NotSupported("501"),
    PersistFailed("not written"),
    Unavailable("away", retry_after_s=7),
    Overloaded("full", retry_after_s=2),
    NoCredentials("asked everywhere", retry_after_s=3),
    WrongRegion("elsewhere", region="eu-west-1"),
]


class Dripping(trio.abc.Stream):
    """A stream that gives one byte at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(1)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def echo(channel: Channel, nursery: trio.Nursery) -> None:
    """Answers `Update` with its key in no bucket, in any order."""

    def handle(message: msgspec.Struct) -> None:
        if isinstance(message, m.Update):
            channel.post(m.Located(message.id, (message.key, None)))

    await channel.run(handle)


async def ask(channel: Channel, key: str) -> str | None:
    located = await channel.call(m.Located, partial(m.Update, key=key))
    return located.row[0] if located.row else None


def nobody(message: msgspec.Struct) -> None:
    raise AssertionError(message)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_what_it_was(error: Exception) -> None:
    failed = to_message(1, error)
    assert failed is not None
    arrived = from_message(failed)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_a_crash_is_not_told() -> None:
    assert to_message(1, RuntimeError("internals")) is None
    assert isinstance(from_message(m.Failed(1, "", "the parent has failed")), ParentFailed)


async def test_byte_by_byte_in_both_directions(nursery: trio.Nursery) -> None:
    ours, theirs = await pair()
    worker = Channel(Dripping(ours), m.ToWorker, m.AnswersOfParent)
    parent = Channel(Dripping(theirs), m.ToParent, m.AnswersOfWorkers)
    nursery.start_soon(worker.run, nobody)
    nursery.start_soon(echo, parent, nursery)
    assert await ask(worker, "ключ " * 100) == "ключ " * 100


async def test_more_questions_than_may_be_open(nursery: trio.Nursery) -> None:
    ours, theirs = await pair()
    worker = Channel(ours, m.ToWorker, m.AnswersOfParent)
    parent = Channel(theirs, m.ToParent, m.AnswersOfWorkers)
    nursery.start_soon(worker.run, nobody)
    nursery.start_soon(echo, parent, nursery)
    answers: dict[str, str | None] = {}

    async def one(key: str) -> None:
        answers[key] = await ask(worker, key)

    async with trio.open_nursery() as asking:
        for n in range(3 * CALLS_MAX):
            asking.start_soon(one, str(n))
    assert answers == {str(n): str(n) for n in range(3 * CALLS_MAX)}


async def test_the_end_of_the_other_side_is_told_to_whoever_waits(nursery: trio.Nursery) -> None:
    ours, theirs = await pair()
    worker = Channel(ours, m.ToWorker, m.AnswersOfParent)
    over = trio.Event()

    async def run() -> None:
        await worker.run(nobody)
        over.set()

    async def die() -> None:
        await theirs.receive_some()
        await theirs.aclose()

    nursery.start_soon(run)
    nursery.start_soon(die)
    with pytest.raises(Unavailable):
        await ask(worker, "k")
    await over.wait()
    with pytest.raises(Unavailable):
        await ask(worker, "k")
    worker.post(m.Up())  # to nobody
    await worker.flush()
    await worker.drained()


async def test_who_left_before_the_answer_disturbs_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ours, theirs = await pair()
    worker = Channel(ours, m.ToWorker, m.AnswersOfParent)
    nursery.start_soon(worker.run, nobody)
    with trio.move_on_after(1):
        await ask(worker, "late")
    parent = Channel(theirs, m.ToParent, m.AnswersOfWorkers)
    nursery.start_soon(echo, parent, nursery)
    assert await ask(worker, "next") == "next"


async def test_a_side_that_does_not_read_holds_the_writer(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ours, theirs = await pair()
    parent = Channel(ours, m.ToParent, m.AnswersOfWorkers)
    nursery.start_soon(parent.run, nobody)
    body = b"x" * 65_536
    sent = 0

    async def write() -> None:
        nonlocal sent
        for n in range(200):
            await parent.send(m.Rendered(n, "text/plain", body))
            sent += 1

    with trio.move_on_after(5) as waiting:
        await write()
    assert waiting.cancelled_caught
    assert sent * len(body) < 2 * HIGH_WATER_BYTES
    stuck = sent
    worker = Channel(theirs, m.ToWorker, ())
    heard: list[msgspec.Struct] = []
    nursery.start_soon(worker.run, heard.append)
    await until(lambda: len(heard) == stuck)


@pytest.mark.parametrize("garbage", [b"\xff" * 8, frame(b"\xc1"), frame(b"\x93\x01\x02")])
async def test_garbage_ends_the_channel(garbage: bytes) -> None:
    ours, theirs = await pair()
    worker = Channel(ours, m.ToWorker, m.AnswersOfParent)
    await theirs.send_all(garbage)
    with pytest.raises(BaseExceptionGroup) as caught:
        await worker.run(nobody)
    assert caught.group_contains(BrokenFrame)
    assert worker.closed
    await theirs.aclose()
