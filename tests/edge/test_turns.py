"""Clients that pipeline do not have the edge to themselves."""

from __future__ import annotations

import trio
import trio.testing

from parparchik.edge.pipeline import ANSWERS_AT_A_TIME
from tests.edge.conftest import Known, Running, read_until, redirect

MANY = ANSWERS_AT_A_TIME * 25
"""More than are answered in one turn, in less than is read at once."""


def get(number: int, *, last: bool = False) -> bytes:
    end = b"Connection: close\r\n" if last else b""
    return b"GET /%d HTTP/1.1\r\nHost: h\r\n%b\r\n" % (number, end)


def numbers(answers: bytes) -> list[int]:
    lines = answers.split(b"\r\n")
    return [int(line.rpartition(b"/")[2]) for line in lines if line.startswith(b"location: ")]


async def test_whoever_comes_meanwhile_is_answered_first(up: Running) -> None:
    finished: list[str] = []

    async def pipelines() -> None:
        async with await up.connect() as stream:
            await stream.send_all(b"".join(get(n, last=n == MANY - 1) for n in range(MANY)))
            sent.set()
            answers = b"".join([piece async for piece in stream])
            assert numbers(answers) == list(range(MANY))
            finished.append("many")

    sent = trio.Event()
    async with await up.connect() as single, trio.open_nursery() as nursery:
        await single.send_all(get(0))
        await read_until(single, b"\r\n\r\n")
        nursery.start_soon(pipelines)
        await sent.wait()
        await single.send_all(get(1))
        assert numbers(await read_until(single, b"\r\n\r\n")) == [1]
        finished.append("one")
    assert finished == ["one", "many"]


async def test_what_it_sends_while_it_is_queued_is_answered_in_its_order(up: Running) -> None:
    async with await up.connect() as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            for start in range(0, 10 * MANY, MANY):
                await stream.send_all(b"".join(get(n) for n in range(start, start + MANY)))
            await stream.send_all(get(10 * MANY, last=True))

        nursery.start_soon(send)
        answers = b"".join([piece async for piece in stream])
    assert numbers(answers) == list(range(10 * MANY + 1))


async def test_a_client_that_leaves_while_it_is_queued_harms_nobody(up: Running) -> None:
    stream = await up.connect()
    await stream.send_all(b"".join(get(n) for n in range(MANY)))
    stream.socket.close()
    async with await up.connect() as other:
        await other.send_all(get(7))
        assert numbers(await read_until(other, b"\r\n\r\n")) == [7]
    with trio.fail_after(5):
        while up.edge.count:  # noqa: ASYNC110  it tells nobody
            await trio.sleep(0.01)


async def test_what_waits_behind_two_misses_is_answered_when_nothing_else_happens(
    up: Running,
) -> None:
    """The second miss comes up when the first is answered, which no socket tells the edge of."""
    for target in (b"/1", b"/3"):
        up.routes.questions[target] = Known(None)
    async with await up.connect() as stream:
        await stream.send_all(b"".join(get(n) for n in range(4)) + get(4, last=True))
        await trio.testing.wait_all_tasks_blocked()
        up.routes.questions[b"/1"].tell(redirect(b"/1"))
        await trio.testing.wait_all_tasks_blocked()
        up.routes.questions[b"/3"].tell(redirect(b"/3"))
        with trio.fail_after(5):
            answers = b"".join([piece async for piece in stream])
    assert numbers(answers) == list(range(5))
