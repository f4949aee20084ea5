"""Clients that leave, reset, half-close or go on sending while the edge is at something."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Callable

import pytest
import structlog
import trio
import trio.testing

from parparchik.edge import Limits
from parparchik.model import Answer, Question, Request, Unfinished
from tests.edge.conftest import Known, Running, read_all, read_until, redirect, running, until
from tests.edge.test_edge import SAFETY_S, get, locations

RESET = struct.pack("ii", 1, 0)


def reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def half_close(stream: trio.SocketStream) -> None:
    await stream.send_eof()


async def send_more(stream: trio.SocketStream) -> None:
    await stream.send_all(get(b"/a") * 500)


async def send_and_half_close(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET")
    await stream.send_eof()


async def send_and_reset(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET")
    await trio.testing.wait_all_tasks_blocked(0.01)
    reset(stream)


async def close(stream: trio.SocketStream) -> None:
    await stream.aclose()


@pytest.mark.parametrize(
    "act", [half_close, send_more, send_and_half_close, send_and_reset, close, None]
)
async def test_waiting_for_s3_costs_nothing_whatever_the_client_does(
    up: Running, act: Callable[[trio.SocketStream], object] | None
) -> None:
    slow = up.routes.questions[b"/slow"] = Known(None)
    with trio.fail_after(SAFETY_S):
        streams = [await up.connect() for _ in range(5)]
        for stream in streams:
            await stream.send_all(get(b"/slow"))
        await trio.testing.wait_all_tasks_blocked(0.02)
        for stream in streams:
            if act is not None:
                await act(stream)  # type: ignore[misc]
        await trio.testing.wait_all_tasks_blocked(0.02)
        began_s = cpu_s()
        await trio.sleep(1)
        assert cpu_s() - began_s < 0.1
        slow.tell(redirect(b"/slow"))
        if act in (None, half_close, send_and_half_close):
            for stream in streams:
                assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/slow"]
        for stream in streams:
            stream.socket.close()
        await until(lambda: not up.edge.count)
    assert locations(await up.talk(get(b"/a"))) == [b"/a"]


async def test_who_has_left_is_let_go_before_the_answer_comes(up: Running) -> None:
    up.routes.questions[b"/slow"] = Known(None)
    streams = [await up.connect() for _ in range(3)]
    for stream in streams:
        await stream.send_all(get(b"/slow"))
    await trio.testing.wait_all_tasks_blocked(0.02)
    assert up.edge.count == 3
    for stream in streams:
        reset(stream)
    await until(lambda: not up.edge.count)


async def test_what_is_sent_while_it_waits_is_answered_behind_it(up: Running) -> None:
    slow = up.routes.questions[b"/slow"] = Known(None)
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as stream:
            await stream.send_all(get(b"/slow"))
            await until(lambda: up.routes.asked)
            for i in range(100):
                await stream.send_all(get(b"/%d" % i))
            await stream.send_eof()
            await trio.testing.wait_all_tasks_blocked(0.01)
            slow.tell(redirect(b"/slow"))
            answers = await read_all(stream)
    assert locations(answers) == [b"/slow", *(b"/%d" % i for i in range(100))]


async def test_a_reset_in_any_state_harms_nobody() -> None:
    async with running(Limits(max_connections=1_000)) as up:
        up.routes.questions[b"/big"] = Known(Answer(200, (), b"x" * 3_000_000))
        up.routes.questions[b"/slow"] = Known(None)
        states = {
            "idle": b"",
            "reading": get(b"/a")[:-2],
            "answered": get(b"/a"),
            "waiting": get(b"/slow"),
            "writing": get(b"/big"),
            "writing, more to come": get(b"/big") * 3,
            "writing, then the last": get(b"/big") + get(b"/a", b"Connection: close"),
            "writing, then handed over": get(b"/big") + get(b"/status"),
            "lingering": get(b"/a", b"Connection: close"),
            "refused": b"\0",
            "handed over": get(b"/status"),
        }
        with structlog.testing.capture_logs() as logs, trio.fail_after(SAFETY_S):
            for _ in range(10):
                streams = []
                for data in states.values():
                    streams.append(await up.connect())
                    await streams[-1].send_all(data)
                await trio.testing.wait_all_tasks_blocked(0.005)
                for stream in streams:
                    reset(stream)
            await until(lambda: not up.edge.count)
        crashes = {each.get("event") for each in logs}
        assert crashes <= {"connection failed"}  # whom it was handed to, who takes no reset
        assert locations(await up.talk(get(b"/a"))) == [b"/a"]


async def test_ten_thousand_requests_in_one_write(up: Running) -> None:
    up.routes.questions[b"/slow"] = slow = Known(None)
    targets = [b"/%d" % (i % 50) for i in range(10_000)]
    targets[5_000] = b"/slow"
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"".join(map(get, targets)))
            received = bytearray()
            while received.count(b"\r\n\r\n") < 5_000:
                received += await stream.receive_some()
            slow.tell(redirect(b"/slow"))
            while received.count(b"\r\n\r\n") < 10_000:
                received += await stream.receive_some()
    assert locations(bytes(received)) == targets


async def test_a_hundred_heads_byte_by_byte_at_once(up: Running) -> None:
    head = get(b"/b/k", b"X-A: b")
    with trio.fail_after(SAFETY_S):
        streams = [await up.connect() for _ in range(100)]
        for i in range(len(head)):
            for stream in streams:
                await stream.send_all(head[i : i + 1])
        for stream in streams:
            assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/b/k"]
            stream.socket.close()


async def test_thousands_of_half_requests_hold_up_nobody_and_end() -> None:
    async with running(Limits(header_timeout_s=2)) as up:
        with trio.fail_after(SAFETY_S):
            streams = [await up.connect() for _ in range(2_000)]
            for stream in streams:
                await stream.send_all(b"GET /b/k HTTP/1.1\r\nHost")
            assert locations(await up.talk(get(b"/a"))) == [b"/a"]
            for stream in streams[:100]:
                await stream.send_all(b":")  # which gives them no more time
            answers = [await read_all(stream) for stream in streams]
        assert all(b"HTTP/1.1 408 Request Timeout\r\n" in answer for answer in answers)
        assert up.edge.statistics().timed_out == (("header", len(streams)),)
        for stream in streams:
            stream.socket.close()


async def test_the_time_for_a_head_runs_from_its_first_byte() -> None:
    async with running(Limits(header_timeout_s=3)) as up:
        with trio.fail_after(SAFETY_S):
            async with await up.connect() as stream:
                await trio.sleep(4)
                await stream.send_all(get(b"/a")[:9])
                await trio.sleep(1.2)  # it has been looked at
                await stream.send_all(get(b"/a")[9:])
                assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/a"]


async def test_a_client_that_never_closes_is_not_waited_for_long(up: Running) -> None:
    async with await up.connect() as one, await up.connect() as other:
        await one.send_all(get(b"/a", b"Connection: close"))
        await other.send_all(b"\0")
        await until(lambda: not up.edge.count)


class Broken:
    """A question that fails where nothing may."""

    def __init__(self, request: Request) -> None:
        self.request = request
        if request.target == b"/ask":
            raise RuntimeError("boom")

    def answer_nowait(self) -> Answer | None:
        return None if self.request.target == b"/soon" else redirect(b"/ok")

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        if self.request.target == b"/soon":
            raise RuntimeError("boom")
        return False

    async def answer(self) -> Answer:
        raise AssertionError


@pytest.mark.parametrize("target", [b"/ask", b"/soon"])
async def test_a_fault_in_a_question_is_answered_500_and_ends_nobody_else(
    up: Running, target: bytes
) -> None:
    def ask(request: Request) -> Question:
        return Broken(request)

    up.edge.renew(ask=ask, access=up.edge._answering.access)
    with trio.fail_after(SAFETY_S):
        async with await up.connect() as bystander:
            await bystander.send_all(get(b"/a"))
            await read_until(bystander, b"\r\n\r\n")
            for _ in range(3):
                answer = await up.talk(get(target) + get(b"/a"))
                assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
                assert locations(answer) == [b"/ok"]
            await bystander.send_all(get(b"/a"))
            assert locations(await read_until(bystander, b"\r\n\r\n")) == [b"/ok"]
