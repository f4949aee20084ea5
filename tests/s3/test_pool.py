"""The pool's order, bound, queue and patience, with connections that exist in memory only."""

from __future__ import annotations

import math
from collections import deque

import httpx
import pytest
import trio
import trio.testing

from parparchik.s3.connection import Connection
from parparchik.s3.pool import Pool


class FakeConnection(Connection):
    """`stale` is what the kernel would know of it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.closed = False
        self.stale = False

    async def send(self, data: bytes | memoryview) -> None:
        raise AssertionError("a pool keeps connections and uses none")

    async def receive(self, max_bytes: int = 0) -> bytes:
        raise AssertionError("a pool keeps connections and uses none")

    def fileno(self) -> int:
        raise AssertionError("it has no socket")

    def send_nowait(self, data: bytes) -> bool:
        raise AssertionError("a pool keeps connections and uses none")

    async def flush(self) -> None:
        raise AssertionError("a pool keeps connections and uses none")

    def receive_nowait(self) -> bytes | None:
        raise AssertionError("a pool keeps connections and uses none")

    def is_stale(self) -> bool:
        return self.stale

    def close(self) -> None:
        self.closed = True


class Server:
    """Hands out connections; while `failures` is not empty, raises these instead."""

    def __init__(self) -> None:
        self.connections: list[FakeConnection] = []
        self.failures: deque[Exception] = deque()
        self.connect_s = 0.0

    async def connect(self, connect_timeout_s: float) -> Connection:
        await trio.sleep(self.connect_s)
        if self.failures:
            raise self.failures.popleft()
        connection = FakeConnection(len(self.connections))
        self.connections.append(connection)
        return connection

    @property
    def closed(self) -> list[int]:
        return [each.number for each in self.connections if each.closed]


@pytest.fixture
def server() -> Server:
    return Server()


def pool_of(server: Server, *, most: int = 3, idle_timeout_s: float = 10) -> Pool:
    return Pool(server.connect, max_connections=most, idle_timeout_s=idle_timeout_s)


async def filled(server: Server, *, most: int = 3, idle_timeout_s: float = 10) -> Pool:
    """A pool whose connections are all idle; the one with the highest number was used last."""
    pool = pool_of(server, most=most, idle_timeout_s=idle_timeout_s)
    for connection in [await pool.acquire() for _ in range(most)]:
        pool.release(connection)
    return pool


async def test_used_last_comes_first(server: Server) -> None:
    pool = await filled(server)
    assert [await pool.acquire() for _ in range(3)] == server.connections[::-1]


async def test_one_at_a_time_needs_one_connection(server: Server) -> None:
    pool = pool_of(server)
    for uses in range(10):
        connection = await pool.acquire()
        assert connection.exchanges == uses
        pool.release(connection)
    assert pool.statistics().opened == 1


async def test_counts(server: Server, autojump_clock: trio.abc.Clock) -> None:
    pool = await filled(server)
    used = await pool.acquire()
    now = pool.statistics()
    assert (now.open, now.idle, now.waiting, now.opened) == (3, 2, 0, 3)
    pool.discard(used)
    now = pool.statistics()
    assert (now.open, now.idle, now.waiting, now.opened) == (2, 2, 0, 3)


async def test_never_more_than_the_bound(server: Server, autojump_clock: trio.abc.Clock) -> None:
    pool = pool_of(server)
    server.connect_s = 1
    using = peak = 0

    async def use() -> None:
        nonlocal using, peak
        connection = await pool.acquire()
        using += 1
        peak = max(peak, using)
        await trio.sleep(1)
        using -= 1
        pool.release(connection)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(use)
    assert peak == len(server.connections) == 3
    assert pool.statistics().idle == 3


async def test_who_waits_longest_is_served_first(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    only = await pool.acquire()
    served: list[str] = []

    async def wait(name: str) -> None:
        connection = await pool.acquire()
        assert connection is only
        served.append(name)
        await trio.sleep(1)
        pool.release(connection)

    async with trio.open_nursery() as nursery:
        for name in "abcd":
            nursery.start_soon(wait, name)
            await trio.testing.wait_all_tasks_blocked()
        assert pool.statistics().waiting == 4
        pool.release(only)
    assert served == ["a", "b", "c", "d"]


async def test_nobody_overtakes_those_who_wait(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    only = await pool.acquire()
    served: list[str] = []

    async def wait(name: str) -> None:
        pool.release(await pool.acquire())
        served.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "first")
        await trio.testing.wait_all_tasks_blocked()
        pool.release(only)  # and, before the first one runs:
        nursery.start_soon(wait, "second")
        assert pool.acquire_nowait(trio.current_time()) is None
    assert served == ["first", "second"]


async def test_pool_time_out(server: Server, autojump_clock: trio.abc.Clock) -> None:
    pool = pool_of(server, most=1)
    only = await pool.acquire()
    before = trio.current_time()
    with pytest.raises(httpx.PoolTimeout):
        await pool.acquire(pool_timeout_s=2)
    assert trio.current_time() - before == pytest.approx(2)
    assert pool.statistics().waiting == 0
    pool.release(only)
    assert await pool.acquire() is only


async def test_cancelled_while_waiting_loses_nothing(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    only = await pool.acquire()
    with trio.move_on_after(1):
        await pool.acquire()
    got: list[Connection] = []

    async def wait() -> None:
        got.append(await pool.acquire())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        pool.release(only)  # handed over before the cancellation, though the task runs after it
        nursery.cancel_scope.cancel()
    assert got == [only]


async def test_a_discarded_connection_makes_room_for_who_waits(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    first = await pool.acquire()
    got: list[Connection] = []

    async def wait() -> None:
        got.append(await pool.acquire())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        pool.discard(first)
    assert server.closed == [0]
    assert got == [server.connections[1]]
    assert pool.statistics().open == 1


async def test_failed_connecting_frees_the_slot(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    server.connect_s = 1
    server.failures.extend([httpx.ConnectError("no"), httpx.ConnectTimeout("late")])
    outcomes: list[str] = []

    async def use() -> None:
        try:
            pool.release(await pool.acquire())
            outcomes.append("ok")
        except httpx.TransportError as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(use)
            await trio.testing.wait_all_tasks_blocked()
    assert outcomes == ["no", "late", "ok"]
    assert pool.statistics().open == 1


async def test_cancelled_connecting_frees_the_slot(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = pool_of(server, most=1)
    server.connect_s = math.inf
    with trio.move_on_after(1):
        await pool.acquire()
    assert pool.statistics().open == 0


async def test_what_has_been_idle_too_long_is_not_handed_out(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = await filled(server, idle_timeout_s=10)
    await trio.sleep(6)
    pool.release(await pool.acquire())
    await trio.sleep(6)
    assert await pool.acquire() is server.connections[2]
    await trio.sleep(20)
    assert pool.acquire_nowait(trio.current_time()) is None
    assert server.closed == [0, 1]


async def test_what_a_burst_left_over_is_closed_by_later_traffic(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = await filled(server, idle_timeout_s=10)
    for _ in range(11):
        connection = await pool.acquire()
        await trio.sleep(1)
        pool.release(connection)
    assert server.closed == [0, 1]


async def test_an_idle_process_closes_them_too(
    server: Server, autojump_clock: trio.abc.Clock
) -> None:
    pool = await filled(server, idle_timeout_s=10)
    await trio.sleep(9)
    pool.close_expired()
    assert server.closed == []
    await trio.sleep(2)
    pool.close_expired()
    assert server.closed == [0, 1, 2]
    assert pool.statistics().open == 0


async def test_a_connection_closed_by_the_server_is_passed_over(server: Server) -> None:
    pool = await filled(server)
    server.connections[2].stale = server.connections[1].stale = True
    assert await pool.acquire() is server.connections[0]
    assert server.closed == [1, 2]
    assert pool.statistics().open == 1


async def test_fresh_is_a_new_one_in_place_of_the_oldest(server: Server) -> None:
    pool = await filled(server)
    fresh = await pool.acquire(fresh=True)
    assert fresh is server.connections[3]
    assert server.closed == [0]
    assert pool.statistics().open == 3


async def test_fresh_where_there_is_room_closes_nothing(server: Server) -> None:
    pool = await filled(server)
    pool.discard(await pool.acquire())
    assert await pool.acquire(fresh=True) is server.connections[3]
    assert server.closed == [2]


async def test_closed_pool_keeps_nothing(server: Server) -> None:
    pool = await filled(server)
    used = await pool.acquire()
    pool.close()
    assert server.closed == [0, 1]
    pool.release(used)
    pool.release(await pool.acquire())  # a last request still gets through
    assert server.closed == [0, 1, 2, 3]
    assert pool.statistics().open == 0
