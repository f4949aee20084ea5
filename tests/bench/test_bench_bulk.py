"""The load of large bodies, against servers that do what a script says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio

from bench.load import Ask, BadPlan, Counting, Cycle, Deck, Expected, Family, Outcome, Plan, Target
from bench.load.child import prepare
from tests.bench.scripted import Answer, scripted

SIZE = 300_000  # more than comes at once
GET = Cycle((Ask("/objects/bench/file", Expected(200, body_bytes=SIZE)),))
PUT = Cycle((Ask("/objects/bench/file", Expected(200), put_bytes=SIZE),))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


def plan(target: Target, deck: Deck, **given: object) -> Plan:
    settled = {"connections": 2, "requests": 10, "duration_s": 20.0, "warm_up_s": 0.0, **given}
    return Plan(target, deck, bulk=True, **settled)  # type: ignore[arg-type]


async def outcome_of(answer: Answer, **given: object) -> Outcome:
    async with scripted(answer) as target:
        return await prepare(plan(target, GET, **given), 0).run()


async def whole(_path: bytes, stream: trio.SocketStream) -> None:
    await stream.send_all(HEAD % SIZE + bytes(SIZE))


@asynccontextmanager
async def storing(answer: Callable[[int, bytes], Awaitable[bytes]]) -> AsyncIterator[Target]:
    """A server that reads bodies: `answer` is given the size of each, and its head."""

    async def serve(stream: trio.SocketStream) -> None:
        held = b""
        async with stream:
            while data := await stream.receive_some():
                held += data
                head, end, rest = held.partition(b"\r\n\r\n")
                size_bytes = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
                if end and len(rest) >= size_bytes:
                    held = rest[size_bytes:]
                    await stream.send_all(await answer(size_bytes, head))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield Target("127.0.0.1", listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_requests_and_their_bytes_are_counted() -> None:
    outcome = await outcome_of(whole, requests=7)
    assert (outcome.requests, outcome.errors, outcome.statuses) == (7, {}, {200: 7})
    assert outcome.body_bytes == 7 * SIZE
    assert outcome.latency.count == 7


@pytest.mark.parametrize(
    ("body_bytes", "requests", "errors"),
    [(None, 6, {}), (2, 6, {}), (3, 0, {"wrong length": 6}), (0, 0, {"wrong length": 6})],
)
async def test_bodies_in_chunks_are_read_to_their_end_and_measured(
    body_bytes: int | None, requests: int, errors: dict[str, int]
) -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        for piece in (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe",
            b"\r\n0\r\n",
        ):
            await stream.send_all(piece)
        await stream.send_all(b"\r\n")

    deck = Cycle((Ask("/ft/list/", Expected(200, body_bytes=body_bytes)),))
    async with scripted(answer) as target:
        outcome = await prepare(plan(target, deck, requests=6), 0).run()
    assert (outcome.requests, outcome.errors) == (requests, errors)


async def test_what_was_sent_is_counted_and_is_what_was_announced() -> None:
    sizes = []

    async def answer(size_bytes: int, head: bytes) -> bytes:
        assert head.startswith(b"PUT /objects/bench/file HTTP/1.1\r\n")
        sizes.append(size_bytes)
        return HEAD % 0

    async with storing(answer) as target:
        outcome = await prepare(plan(target, PUT, requests=5), 0).run()
    assert (outcome.requests, outcome.errors) == (5, {})
    assert sizes == [SIZE] * 5
    assert outcome.body_bytes == 5 * SIZE


async def test_a_body_of_another_length_is_wrong() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD % 5 + b"hello")

    outcome = await outcome_of(answer)
    assert (outcome.requests, outcome.errors) == (0, {"wrong length": 10})


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", "reset"),
        (HEAD % SIZE + b"beginning", "short answer"),
        (b"HTTP/1.1 20", "short answer"),
        (b"220 mail.example ESMTP\r\n\r\n", "bad answer"),
        (HEAD % 2 + b"three", "bad answer"),
    ],
)
async def test_an_answer_that_breaks_off_is_no_answer(sent: bytes, kind: str) -> None:
    numbers = count(1)

    async def answer(path: bytes, stream: trio.SocketStream) -> None:
        if next(numbers) % 2:
            await whole(path, stream)
            return
        if sent:
            await stream.send_all(sent)
        await stream.aclose()

    outcome = await outcome_of(answer, connections=1)
    assert (outcome.requests, outcome.errors) == (5, {kind: 5})


async def test_a_wrong_status_is_one_whatever_comes_with_it() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 503 Slow\r\ncontent-length: 2\r\n\r\nno")

    outcome = await outcome_of(answer)
    assert (outcome.requests, outcome.errors) == (0, {"wrong status": 10})


async def test_who_says_close_is_not_asked_again_there() -> None:
    connections = set()

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        connections.add(stream)
        head = (HEAD % SIZE).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await stream.send_all(head + bytes(SIZE))
        await stream.aclose()

    outcome = await outcome_of(answer, requests=6)
    assert (outcome.requests, outcome.errors) == (6, {})
    assert len(connections) == 6


async def test_silence_is_waited_for_no_longer_than_said() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD % SIZE + b"beginning")

    outcome = await outcome_of(answer, requests=4, timeout_s=0.05)
    assert outcome.errors == {"time-out": 4}


async def test_nobody_there_is_no_connection() -> None:
    async with scripted(whole) as target:
        pass
    outcome = await prepare(plan(target, GET, requests=4), 0).run()
    assert outcome.errors == {"connect": 4}


async def test_it_ends_in_time_and_counts_what_is_under_way() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD % SIZE + b"12345")
        await trio.sleep_forever()

    outcome = await outcome_of(answer, requests=None, duration_s=0.1)
    assert (outcome.requests, outcome.errors) == (0, {})
    assert outcome.body_bytes == 10  # of two connections


async def test_a_warm_up_counts_for_nothing() -> None:
    asked = count()

    async def answer(path: bytes, stream: trio.SocketStream) -> None:
        next(asked)
        await whole(path, stream)

    outcome = await outcome_of(answer, requests=3, warm_up_s=0.1)
    assert outcome.requests == 3
    assert outcome.body_bytes == 3 * SIZE
    assert next(asked) > 3


async def test_a_deck_that_ends_says_so() -> None:
    deck = Counting(Family("/objects/bench/{n}", Expected(200), count=3))
    with pytest.RaisesGroup(BadPlan):
        async with scripted(whole) as target:
            await prepare(plan(target, deck), 0).run()


@pytest.mark.parametrize("given", [{"rate_per_s": 5.0}, {"keep_alive": False}])
def test_it_is_a_closed_loop_over_kept_connections(given: dict[str, object]) -> None:
    with pytest.raises(BadPlan, match="closed loop"):
        plan(Target("127.0.0.1", 1), GET, **given)


async def test_the_other_load_has_no_bodies_to_send() -> None:
    with pytest.raises(BadPlan, match="bulk"):
        await prepare(Plan(Target("127.0.0.1", 1), PUT, requests=1), 0).run()
