"""Clients that do not read what they are answered, and what happens to what was to be said."""

from __future__ import annotations

import socket
import tracemalloc

import pytest
import trio
import trio.testing

from parparchik.edge import Limits
from parparchik.model import Answer
from tests.edge.conftest import Known, Running, read_all, running, until
from tests.edge.test_edge import SAFETY_S, get, locations

BIG_BYTES = 30_000
MANY = 100  # big answers: more than the kernel keeps for a client of `narrow`


def narrow(up: Running) -> socket.socket:
    """A client between whom and the edge the kernel keeps little."""
    up.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(up.listener.getsockname())
    sock.setblocking(False)
    return sock


def with_big_answers(up: Running) -> None:
    up.routes.questions[b"/big"] = Known(Answer(200, (), b"x" * BIG_BYTES))


async def send_all_at_once(sock: socket.socket, data: bytes) -> trio.SocketStream:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    await stream.send_all(data)
    await trio.testing.wait_all_tasks_blocked(0.02)
    return stream


async def test_who_takes_nothing_for_too_long_is_closed() -> None:
    async with running(Limits(write_timeout_s=1, idle_timeout_s=60)) as up:
        with_big_answers(up)
        with trio.fail_after(SAFETY_S):
            async with await send_all_at_once(narrow(up), get(b"/big") * MANY):
                assert up.edge.count == 1
                await until(lambda: not up.edge.count)
        assert up.edge.statistics().timed_out == (("write", 1),)
        assert up.traffic.requests()[0][2] < MANY


async def test_who_reads_slowly_gets_all_of_it() -> None:
    async with running(Limits(write_timeout_s=2, header_timeout_s=1, idle_timeout_s=1)) as up:
        with_big_answers(up)
        with trio.fail_after(SAFETY_S * 2):
            data = get(b"/big") * 20 + get(b"/last", b"Connection: close")
            async with await send_all_at_once(narrow(up), data) as stream:
                received = b""
                until_s = trio.current_time() + 4
                while piece := await stream.receive_some(65_536):
                    received += piece
                    if trio.current_time() < until_s:
                        await trio.sleep(0.1)
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 20
        assert received.count(b"x" * BIG_BYTES) == 20
        assert locations(received) == [b"/last"]
        assert up.edge.statistics().timed_out == ()


@pytest.mark.parametrize("step", [1_000_000, 20_000])
async def test_a_full_connection_is_handed_over_behind_its_answers(step: int) -> None:
    async with running() as up:
        with_big_answers(up)
        rest = get(b"/status") + get(b"/big") + b"some more"
        with trio.fail_after(SAFETY_S):
            async with await send_all_at_once(narrow(up), get(b"/big") * 4 + rest) as stream:
                assert up.other.got == []  # nobody else writes in between
                received = b""
                while received.count(b"x") < 4 * BIG_BYTES:
                    received += await stream.receive_some(step)
                await stream.send_all(b", and more")
                await stream.send_eof()
                received += await read_all(stream)
        assert up.other.got == [rest + b", and more"]
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 4
        assert received.endswith(b"x" * BIG_BYTES + b"handed over")


@pytest.mark.parametrize(
    ("last", "status"),
    [(get(b"/a", b"Connection: close"), b"302"), (b"GET / HTTP/1.1\r\n\r\n", b"400")],
)
async def test_a_stalled_write_ends_with_the_last_answer(last: bytes, status: bytes) -> None:
    async with running() as up:
        with_big_answers(up)
        with trio.fail_after(SAFETY_S):
            # All of it is one write, which the client takes bit by bit.
            data = get(b"/big") * 2 + last + get(b"/never") + b"x" * 5_000
            async with await send_all_at_once(narrow(up), data) as stream:
                received = await read_all(stream)
        *_, end = received.split(b"HTTP/1.1 ")
        assert received.count(b"x" * BIG_BYTES) == 2
        assert end.startswith(status)
        assert b"\r\nconnection: close\r\n" in end
        assert up.routes.asked[-1].target != b"/never"


async def test_an_answer_that_was_waited_for_may_stall_too() -> None:
    async with running() as up:
        with_big_answers(up)
        slow = up.routes.questions[b"/slow"] = Known(None)
        with trio.fail_after(SAFETY_S):
            async with await send_all_at_once(narrow(up), get(b"/slow") + get(b"/a")) as stream:
                slow.tell(Answer(200, (), b"y" * 3_000_000))
                await trio.testing.wait_all_tasks_blocked(0.02)
                await stream.send_all(get(b"/b"))  # while the edge is writing
                await stream.send_eof()
                received = await read_all(stream)
        assert received.count(b"y") == 3_000_000
        assert locations(received) == [b"/a", b"/b"]


async def test_what_is_not_taken_is_bounded_whatever_is_sent(up: Running) -> None:
    with_big_answers(up)
    await up.talk(get(b"/big"))
    tracemalloc.start()
    try:
        with trio.fail_after(SAFETY_S):
            clients = [narrow(up) for _ in range(20)]
            for sock in clients:
                stream = await send_all_at_once(sock, get(b"/big") * 200)
                with trio.move_on_after(0.05):
                    while True:
                        await stream.send_all(get(b"/big") * 200)
            held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One write (64 KiB and the answer that goes beyond), and one read behind it.
    assert held_bytes < len(clients) * (65_536 + BIG_BYTES + 2 * 16_384)
    for sock in clients:
        sock.close()
    assert locations(await up.talk(get(b"/a"))) == [b"/a"]
    assert up.edge.count == 0
