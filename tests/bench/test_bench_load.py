"""The load over HTTP/1.1 against servers that do what a script says."""

from __future__ import annotations

import socket
from collections import Counter
from itertools import count

import pytest
import trio
import trio.lowlevel

from bench.load import Ask, BadPlan, Counting, Cycle, Expected, Family, Outcome, Target
from tests.bench.scripted import LOCATION, PATH, Answer, fire_here, redirect, scripted


async def outcome_of(answer: Answer, **plan: object) -> Outcome:
    async with scripted(answer) as target:
        return await fire_here(target, **plan)  # type: ignore[arg-type]


async def test_every_request_is_counted_once() -> None:
    asked: Counter[bytes] = Counter()

    async def answer(path: bytes, stream: trio.SocketStream) -> None:
        asked[path] += 1
        await stream.send_all(redirect(number=asked.total()))

    outcome = await outcome_of(answer, requests=50)
    assert (outcome.requests, outcome.errors, outcome.statuses) == (50, {}, {302: 50})
    assert asked == {PATH.encode(): 50}
    assert outcome.latency.count == 50
    assert outcome.per_s > 0


async def test_an_answer_that_comes_byte_by_byte_is_the_same_answer() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        for byte in redirect():
            await stream.send_all(bytes([byte]))

    outcome = await outcome_of(answer, requests=6)
    assert (outcome.requests, outcome.errors) == (6, {})


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_bodies_are_read_to_their_end(framing: bytes, in_pieces: bool) -> None:
    whole = b"HTTP/1.1 200 OK\r\n" + framing

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        for piece in [bytes([byte]) for byte in whole] if in_pieces else [whole]:
            await stream.send_all(piece)

    outcome = await outcome_of(answer, deck=Cycle((Ask("/status", Expected(200)),)), requests=10)
    assert (outcome.requests, outcome.errors) == (10, {})


async def test_a_new_signature_is_no_other_location() -> None:
    numbers = count()

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(redirect(signature=b"%020x" % (next(numbers) // 7)))

    outcome = await outcome_of(answer, requests=30)
    assert (outcome.requests, outcome.errors) == (30, {})


async def test_a_wrong_location_is_found_among_right_ones() -> None:
    """Of the same length, too, so that only the Location tells."""
    numbers = count(1)

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        number = next(numbers)
        wrong = LOCATION.replace(b"file-0000001", b"file-0000002")
        await stream.send_all(redirect(wrong if number % 5 == 0 else LOCATION, number=number))

    outcome = await outcome_of(answer, requests=50)
    assert (outcome.requests, outcome.errors) == (40, {"wrong Location": 10})


async def test_a_key_must_be_sent_where_its_first_answer_went() -> None:
    numbers = count(1)

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        first = next(numbers) <= 10
        await stream.send_all(redirect(LOCATION if first else LOCATION + b"-moved"))

    deck = Cycle((Ask(PATH, Expected(302, "")),))
    outcome = await outcome_of(answer, deck=deck, requests=25)
    assert (outcome.requests, outcome.errors) == (10, {"wrong Location": 15})


async def test_a_redirect_without_location_is_wrong() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n")

    outcome = await outcome_of(answer, deck=Cycle((Ask(PATH, Expected(302, "")),)), requests=3)
    assert outcome.errors == {"wrong Location": 3}


WRONG = {
    "wrong status": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "short answer": b"HTTP/1.1 302 Found\r\nlocation: x\r\ncontent-length: 10\r\n\r\nabc",
    "bad answer": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
    "reset": b"",
}


@pytest.mark.parametrize("kind", WRONG)
async def test_errors_are_told_apart(kind: str) -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(WRONG[kind])
        if kind != "wrong status":
            await stream.aclose()

    outcome = await outcome_of(answer, requests=4)
    assert (outcome.requests, outcome.errors) == (0, {kind: 4})
    assert outcome.latency.count == 0


@pytest.mark.parametrize(
    "answer_bytes",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",  # a whole one could not be told from a short one
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 xyz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n",
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(answer_bytes: bytes) -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(answer_bytes)

    outcome = await outcome_of(answer, deck=Cycle((Ask("/", Expected(200)),)), requests=2)
    assert outcome.errors == {"bad answer": 2}


async def test_silence_is_a_time_out() -> None:
    async def answer(_path: bytes, _stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    outcome = await outcome_of(answer, requests=2, timeout_s=0.2)
    assert (outcome.requests, outcome.errors) == (0, {"time-out": 2})


async def test_nobody_there_is_a_connect_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = Target("127.0.0.1", free.getsockname()[1])
    outcome = await fire_here(target, requests=4)
    assert (outcome.requests, outcome.errors) == (0, {"connect": 4})


async def test_a_server_that_says_close_is_believed() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(redirect().replace(b"content", b"connection: close\r\ncontent", 1))
        await stream.aclose()

    outcome = await outcome_of(answer, requests=12)
    assert (outcome.requests, outcome.errors) == (12, {})


async def test_without_keep_alive_each_request_has_its_own_connection() -> None:
    streams = []

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        streams.append(stream)
        await stream.send_all(redirect())
        await stream.aclose()

    outcome = await outcome_of(answer, requests=12, keep_alive=False)
    assert (outcome.requests, outcome.errors) == (12, {})
    assert len(set(map(id, streams))) == 12


async def test_an_endless_deck_asks_for_each_once() -> None:
    asked: Counter[bytes] = Counter()

    async def answer(path: bytes, stream: trio.SocketStream) -> None:
        asked[path] += 1
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    deck = Counting(Family("/bench/nothing-{n}", Expected(404)))
    outcome = await outcome_of(answer, deck=deck, requests=20)
    assert (outcome.requests, outcome.errors) == (20, {})
    assert asked == {b"/bench/nothing-%d" % n: 1 for n in range(20)}


async def test_a_deck_that_ends_too_soon_says_so() -> None:
    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    deck = Counting(Family("/bench/nothing-{n}", Expected(404), count=5))
    async with scripted(answer) as target:
        with pytest.raises(BadPlan, match="no more requests"):
            await fire_here(target, deck, requests=20)


async def test_the_warm_up_does_not_count() -> None:
    """Its answers are wrong, and none of that is in the outcome."""
    answered = 0

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        nonlocal answered
        answered += 1
        await trio.sleep(0.01)
        await stream.send_all(
            redirect() if trio.current_time() > cold_until else WRONG["wrong status"]
        )

    cold_until = trio.current_time() + 0.1
    outcome = await outcome_of(answer, requests=10, warm_up_s=0.4)
    assert (outcome.requests, outcome.errors) == (10, {})
    assert answered > 10


async def stalled_once(*, rate_per_s: float | None) -> tuple[Outcome, float]:
    """60 requests on one connection to a server that stalls half a second at the tenth; and how
    long it really stalled, in ms."""
    numbers = count(1)
    stalled_ms = 0.0

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        nonlocal stalled_ms
        if next(numbers) == 10:
            begun = trio.current_time()
            await trio.sleep(0.5)
            stalled_ms = (trio.current_time() - begun) * 1e3
        await stream.send_all(redirect())

    outcome = await outcome_of(answer, requests=60, connections=1, rate_per_s=rate_per_s)
    assert (outcome.requests, outcome.errors) == (60, {})
    return outcome, stalled_ms


async def test_an_open_loop_charges_a_stall_for_all_who_would_have_come() -> None:
    """No coordinated omission. The closed loop has one slow request of 60; in the open loop, with
    one due every 10 ms, all of those 50 or so wait that were due during the stall."""
    closed, _ = await stalled_once(rate_per_s=None)
    opened, stalled_ms = await stalled_once(rate_per_s=100)
    quarter_ns = stalled_ms / 4 * 1e6
    assert closed.latency.percentile(90) < closed.latency.max_ns
    assert closed.latency.percentile(90) < opened.latency.percentile(50)
    # Those that came in the first half of the stall waited for more than a quarter of it.
    assert opened.latency.percentile(70) > quarter_ns


async def test_what_an_open_loop_could_not_send_is_not_forgotten() -> None:
    """The server answers one request and no more: all that were due are accounted for."""
    numbers = count(1)

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        if next(numbers) > 1:
            await trio.sleep_forever()
        await stream.send_all(redirect())

    outcome = await outcome_of(
        answer, requests=None, duration_s=0.5, connections=1, rate_per_s=100, timeout_s=1.5
    )
    assert outcome.requests == 1
    assert outcome.errors == {"time-out": 49}
