"""Clients that ask too often, and requests that are part of a trace, on the edge's sockets."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import structlog
import trio

from parparchik.access import AccessLog, JSONLines, RateLimiter, TrustedProxies
from parparchik.config.model import AuthConfig, LimitsConfig
from parparchik.metrics import Traffic
from parparchik.model import Answer, Question, Request
from parparchik.routes import Authenticator
from tests.edge.conftest import Known, Running, read_until, redirect, running, until
from tests.edge.test_edge import SAFETY_S, get

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"traceparent: 00-{TRACE}-{SPAN}-01".encode()


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def limiter(clock: Clock, burst: int) -> RateLimiter:
    return RateLimiter(
        LimitsConfig(1, burst),
        TrustedProxies(["127.0.0.1"]),
        Authenticator(AuthConfig(("known-key",))),
        now=clock,
    )


@asynccontextmanager
async def limited(clock: Clock, burst: int) -> AsyncIterator[tuple[Running, Traffic]]:
    async with running() as up:
        traffic = Traffic()
        up.edge.renew(ask=up.routes.ask, access=AccessLog(traffic), limiter=limiter(clock, burst))
        with trio.fail_after(SAFETY_S):
            yield up, traffic


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answers)]


async def test_every_request_counts_also_where_its_head_is_known() -> None:
    clock = Clock()
    async with limited(clock, 5) as (up, traffic):
        async with await up.connect() as stream:
            for _ in range(5):
                await stream.send_all(get(b"/b/k"))
                assert statuses(await read_until(stream, b"\r\n\r\n")) == [302]
            for _ in range(2):
                await stream.send_all(get(b"/b/k"))
                answer = await read_until(stream, b'{"error":"too many requests"}')
                assert statuses(answer) == [429]
                assert b"\r\nretry-after: 1\r\n" in answer
            clock.now_s += 1
            await stream.send_all(get(b"/b/k") + get(b"/b/k"))
            assert statuses(await read_until(stream, b'requests"}')) == [302, 429]
        assert len(up.routes.asked) == 2  # understood once it is known, and yet counted
        assert traffic.requests() == (("other", 429, 3), ("public", 302, 6))


async def test_pipelined_requests_count_one_each_also_those_that_wait() -> None:
    async with limited(Clock(), 4) as (up, _):
        waiting = up.routes.questions[b"/slow"] = Known(None)
        async with await up.connect() as stream:
            # The second waits behind the first, whose answer is written before it is asked again.
            await stream.send_all(get(b"/a") + get(b"/slow") + get(b"/b") * 3)
            assert statuses(await read_until(stream, b"\r\n\r\n")) == [302]
            waiting.tell(redirect(b"/slow"))
            answers = await read_until(stream, b'{"error":"too many requests"}')
        assert statuses(answers) == [302, 302, 302, 429]


async def test_a_head_without_a_body_is_refused_and_what_is_handed_over_is_not_counted() -> None:
    async with limited(Clock(), 1) as (up, _):
        for _ in range(3):
            await up.talk(get(b"/status"))
        assert len(up.other.got) == 3
        answers = await up.talk(get(b"/a") + get(b"/a", method=b"HEAD"))
        assert statuses(answers) == [302, 429]
        assert answers.endswith(b"\r\n\r\n")


async def test_clients_have_buckets_of_their_own() -> None:
    async with limited(Clock(), 1) as (up, _):
        one, other = b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 192.0.2.2"
        key = b"X-API-Key: known-key"
        heads = [get(b"/a", *lines) for lines in ((one,), (one,), (other,), (one, key), (key,))]
        assert statuses(await up.talk(b"".join(heads))) == [302, 429, 302, 302, 429]


async def test_limits_begin_and_end_with_the_settings() -> None:
    async with running() as up:
        access = AccessLog(Traffic())
        async with await up.connect() as stream:

            async def ask(end: bytes = b"\r\n\r\n") -> list[int]:
                await stream.send_all(get(b"/b/k"))
                with trio.fail_after(SAFETY_S):
                    return statuses(await read_until(stream, end))

            assert [await ask() for _ in range(4)] == [[302]] * 4
            up.edge.renew(ask=up.routes.ask, access=access, limiter=limiter(Clock(), 3))
            assert [await ask() for _ in range(3)] == [[302]] * 3
            assert await ask(b'requests"}') == [429]
            up.edge.renew(ask=up.routes.ask, access=access)
            assert [await ask() for _ in range(9)] == [[302]] * 9


@dataclass
class Asked:
    """Notes what its task says of itself."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Question:
        return self

    def answer_nowait(self) -> Answer | None:
        return None

    def answer_soon(self, then: object) -> bool:
        raise AssertionError("a trace goes with a task")

    async def answer(self) -> Answer:
        self.seen.append(structlog.contextvars.get_contextvars())
        return redirect(b"/a")


async def test_a_trace_is_logged_and_passed_on() -> None:
    stream, asked, passed_on = io.StringIO(), Asked(), list[str]()
    access = AccessLog(Traffic(), JSONLines(stream, str), None, passed_on.append)
    async with running() as up:
        up.edge.renew(ask=asked, access=access)
        with trio.fail_after(SAFETY_S):
            await up.talk(get(b"/a", TRACEPARENT, b"X-Request-Id: mine"))
            await until(stream.getvalue)
    line = msgspec.json.decode(stream.getvalue())
    ids = {"request_id": "mine", "trace_id": TRACE, "span_id": SPAN}
    assert ids.items() <= line.items()
    assert asked.seen == [ids]
    (traceparent,) = passed_on
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", traceparent)
    assert SPAN not in traceparent


@pytest.mark.parametrize("fields", [(), (b"traceparent: 00-nonsense",)])
async def test_without_a_trace_there_is_none_in_the_line(fields: tuple[bytes, ...]) -> None:
    stream = io.StringIO()
    async with running() as up:
        access = AccessLog(Traffic(), JSONLines(stream, str))
        up.edge.renew(ask=up.routes.ask, access=access)
        await up.talk(get(b"/a", TRACEPARENT) + get(b"/a", *fields))
        await until(lambda: stream.getvalue().count("\n") == 2)
    one, other = (msgspec.json.decode(line) for line in stream.getvalue().splitlines())
    assert (one["trace_id"], one["span_id"]) == (TRACE, SPAN)
    assert not {"trace_id", "span_id"} & other.keys()


async def test_heads_with_a_trace_are_not_kept(up: Running) -> None:
    for _ in range(4):
        await up.talk(get(b"/a", TRACEPARENT))
    assert up.edge.statistics().memoised == 0
    for _ in range(4):
        await up.talk(get(b"/a"))
    assert up.edge.statistics().memoised == 1
