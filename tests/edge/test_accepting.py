"""Taking connections in, and letting all of them go again."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import structlog
import trio
import trio.testing

from parparchik.access import AccessLog, RequestIds
from parparchik.edge import Edge, Limits
from parparchik.metrics import Traffic
from tests.edge.conftest import Known, Other, Routes, Running, read_until, running, until
from tests.edge.test_edge import SAFETY_S, get, locations


@contextmanager
def descriptors_at_most(most: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_out_of_descriptors_it_pauses_says_so_once_and_resumes(up: Running) -> None:
    clients = [socket.socket() for _ in range(8)]
    for sock in clients:
        sock.setblocking(False)
    spare = [os.dup(0) for _ in range(3)]
    with structlog.testing.capture_logs() as logs, trio.fail_after(SAFETY_S):
        with descriptors_at_most(spare[-1] + 1):
            for fd in spare:
                os.close(fd)
            for sock in clients:
                assert sock.connect_ex(up.listener.getsockname()) in (0, errno.EINPROGRESS)
            await until(lambda: up.edge.count == 3)
            began_s = cpu_s()
            await trio.sleep(1.5)  # long enough for the clock to have tried again
            assert cpu_s() - began_s < 0.3
            assert up.edge.count == 3
        await until(lambda: up.edge.count == len(clients))
    warnings = [each for each in logs if each["log_level"] == "warning"]
    assert [each["event"] for each in warnings] == ["accepting pauses: out of descriptors"]
    assert up.edge.statistics().accept_pauses >= 1
    for sock in clients:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        await stream.send_all(get(b"/a"))
        assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/a"]
        await stream.aclose()


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def test_at_the_limit_it_rests_and_those_handed_over_count() -> None:
    async with running(Limits(max_connections=2)) as up:
        with trio.fail_after(SAFETY_S):
            clients = [await up.connect() for _ in range(6)]
            for client in clients[:2]:
                await client.send_all(get(b"/status"))
            await until(lambda: up.edge.statistics().handed_over == 2)
            began_s = cpu_s()
            await trio.sleep(1)
            assert cpu_s() - began_s < 0.2
            assert up.edge.statistics().accepted == 2
            for client in clients:
                await client.send_eof()
            await until(lambda: up.edge.statistics().accepted == 6)
            for client in clients:
                await client.aclose()


async def test_with_all_its_room_handed_over_it_ends_as_it_is_told() -> None:
    async with running(Limits(max_connections=2)) as up:
        clients = [await up.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.send_all(get(b"/status"))
        await until(lambda: up.edge.statistics().handed_over == 2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        # Now it is cancelled, and those who were handed over make room.
    for client in clients:
        client.socket.close()


async def test_connections_that_come_and_go_leave_nothing(up: Running) -> None:
    reset = struct.pack("ii", 1, 0)

    def come_and_go(number: int) -> None:
        with socket.create_connection(up.listener.getsockname()) as sock:
            match number % 4:
                case 1:
                    sock.send(get(b"/a"))
                case 2:
                    sock.send(get(b"/a")[:9])
                case 3:
                    sock.send(get(b"/%d" % number))
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    def caught_up(count: int) -> bool:
        return up.edge.statistics().accepted >= count

    async def many(numbers: range) -> tuple[int, int]:
        for number in numbers:
            come_and_go(number)
            if number % 50 == 49:  # fewer than its queue has room for
                await until(partial(caught_up, number + 1))
        await until(lambda: not up.edge.count)
        up.routes.asked.clear()
        up.routes.questions.clear()
        return open_descriptors(), tracemalloc.get_traced_memory()[0]

    tracemalloc.start(1)
    try:
        before = await many(range(4_000))
        after = await many(range(4_000, 24_000))
    finally:
        tracemalloc.stop()
    assert after[0] == before[0]
    # What was seen once is remembered by a number each, at most 65,536 of them.
    assert after[1] - before[1] < 3_000_000
    assert up.edge.statistics().accepted == 24_000


async def test_two_that_share_a_listener_take_each_connection_once() -> None:
    async with running() as one, trio.open_nursery() as nursery:
        traffic, routes = Traffic(), Routes()
        two = Edge(
            ask=routes.ask,
            hand_over=Other().take,
            access=AccessLog(traffic),
            request_ids=RequestIds(),
        )
        await nursery.start(two.serve, [one.listener])
        with trio.fail_after(SAFETY_S):
            for _ in range(100):
                assert locations(await one.talk(get(b"/a"))) == [b"/a"]
        both = one.edge.statistics(), two.statistics()
        assert sum(each.accepted for each in both) == 100
        one.edge.stop_accepting()
        with trio.fail_after(SAFETY_S):
            for _ in range(10):
                assert locations(await one.talk(get(b"/a"))) == [b"/a"]
        assert one.edge.statistics().accepted == both[0].accepted
        nursery.cancel_scope.cancel()


async def test_a_crash_gets_out_and_the_same_listener_is_served_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes, access = Routes(), AccessLog(Traffic())
    slow = routes.questions[b"/slow"] = Known(None)
    edge = Edge(
        ask=routes.ask,
        hand_over=Other().take,
        access=access,
        request_ids=RequestIds(),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(SAFETY_S):
        listener.setblocking(False)
        up = Running(edge, routes, Other(), Traffic(), listener)
        before = open_descriptors()
        for _ in range(2):
            with pytest.RaisesGroup(pytest.RaisesGroup(ZeroDivisionError)):
                async with trio.open_nursery() as nursery:
                    await nursery.start(edge.serve, [listener])
                    clients = [await up.connect() for _ in range(3)]
                    await clients[0].send_all(get(b"/status"))
                    await clients[1].send_all(get(b"/slow"))
                    await until(lambda: edge.statistics().handed_over)
                    assert locations(await up.talk(get(b"/a"))) == [b"/a"]
                    with monkeypatch.context() as broken:
                        broken.setattr(access, "flush", lambda: 1 // 0)
                        await clients[2].send_all(get(b"/a"))
                        await trio.sleep_forever()
            assert edge.count == 0
            for client in clients:
                client.socket.close()
        assert open_descriptors() == before
        slow.tell(routes.questions[b"/a"].known)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            await nursery.start(edge.serve, [listener])
            assert locations(await up.talk(get(b"/a"))) == [b"/a"]
            nursery.cancel_scope.cancel()
