"""Small uploads: answered by the edge when their body is whole."""

from __future__ import annotations

import re

import pytest
import trio
import trio.testing

from parparchik.access import AccessLog
from parparchik.edge import Limits
from tests.edge.conftest import Running, read_all, read_until, running, until
from tests.edge.deeds import Deeds, put
from tests.edge.test_edge import SAFETY_S, get, locations
from tests.edge.test_limits_and_traces import Clock, limiter, statuses

SMUGGLED = get(b"/smuggled")
LARGEST = Limits().max_body_bytes


@pytest.mark.parametrize("size", [0, 1, 16_384, LARGEST])
@pytest.mark.parametrize("method", [b"PUT", b"POST", b"DELETE"])
async def test_a_small_body_is_taken_here(
    acting: Running, mount: Deeds, method: bytes, size: int
) -> None:
    body = SMUGGLED * (size // len(SMUGGLED)) + b"x" * (size % len(SMUGGLED))
    async with await acting.connect() as stream:
        for _ in range(3):  # such a head is never remembered
            await stream.send_all(put(body, method=method))
            answer = await read_until(stream, b"\r\n\r\n")
            assert re.fullmatch(
                rb"HTTP/1\.1 201 Created\r\nlocation: http://s3/m/k\r\ncontent-length: 0\r\n"
                rb"x-request-id: [0-9a-f]{32}\r\ndate: [^\r]+ GMT\r\n\r\n",
                answer,
            )
    assert mount.done == [(method.decode(), b"/m/k", body)] * 3
    assert mount.sizes == [size] * 3
    assert acting.traffic.requests() == (("mount", 201, 3),)
    assert acting.edge.statistics().memoised == 0
    assert (acting.handed_over, acting.routes.asked) == (0, [])


async def test_delete_needs_no_length(acting: Running, mount: Deeds) -> None:
    answers = await acting.talk(get(b"/m/k", method=b"DELETE") + get(b"/a"))
    assert locations(answers) == [b"/m/k", b"/a"]
    assert (mount.done, mount.sizes) == ([("DELETE", b"/m/k", b"")], [None])


OTHERS = {
    "larger": put(b"x" * (LARGEST + 1)),
    "expects": put(b"hello", b"/m/k", b"Expect: 100-continue"),
    "upgrades": put(b"hello", b"/m/k", b"Upgrade: x", b"Connection: upgrade"),
    "chunked": get(b"/m/k", b"Transfer-Encoding: chunked", method=b"PUT")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "without a length": get(b"/m/k", method=b"PUT"),
    "not a mount's": put(b"hello", b"/status"),
    "another method": put(b"hello", method=b"PATCH"),
    "a method in small letters": put(b"hello", method=b"put"),
    "a body with GET": put(b"hello", method=b"GET"),
    "a long target": put(b"hello", b"/m/" + b"k" * 8_192),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
async def test_all_else_is_handed_over_with_every_byte(
    acting: Running, mount: Deeds, data: bytes
) -> None:
    answers = await acting.talk(get(b"/a") + data + SMUGGLED)
    assert locations(answers) == [b"/a"]
    assert answers.endswith(b"handed over")
    assert acting.other.got == [data + SMUGGLED]
    assert mount.done == []


UNSOUND = {
    "both framings": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "repeated": b"Content-Length: 5\r\nContent-Length: 5",
    "conflicting": b"Content-Length: 5\r\nContent-Length: 6",
    "listed": b"Content-Length: 5, 5",
    "signed": b"Content-Length: +5",
    "negative": b"Content-Length: -5",
    "hexadecimal": b"Content-Length: 0x5",
    "empty": b"Content-Length:",
    "with a space": b"Content-Length : 5",
    "too long a number": b"Content-Length: " + b"0" * 18 + b"5",
}


@pytest.mark.parametrize("framing", UNSOUND.values(), ids=UNSOUND)
async def test_unsound_framing_is_refused(acting: Running, mount: Deeds, framing: bytes) -> None:
    head = get(b"/m/k", framing, method=b"PUT")
    answers = await acting.talk(put(b"hello") + head + b"hello" + SMUGGLED)
    assert statuses(answers) == [201, 400]
    assert mount.done == [("PUT", b"/m/k", b"hello")]
    assert (acting.other.got, acting.routes.asked) == ([], [])


async def test_what_comes_behind_waits_for_its_turn(acting: Running, mount: Deeds) -> None:
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as stream:
            await stream.send_all(
                get(b"/a") + put(b"hello", b"/m/waits") + get(b"/b") + put(b"x") + get(b"/c")
            )
            assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/a"]
            await until(lambda: mount.sizes)
            assert len(acting.routes.asked) == 1
            mount.go_on.set()
            await stream.send_eof()
            answers = await read_all(stream)
    assert locations(answers) == [b"/m/waits", b"/b", b"/m/k", b"/c"]


async def test_what_a_client_has_left_is_done_all_the_same(acting: Running, mount: Deeds) -> None:
    async with await acting.connect() as stream:
        await stream.send_all(put(b"hello", b"/m/waits") + b"more")
        await until(lambda: mount.sizes)
    mount.go_on.set()
    await until(lambda: mount.done)
    await until(lambda: not acting.edge.count)


FAULTS = {b"/m/bug": 500, b"/m/forbidden": 403, b"/m/unread": 201}


@pytest.mark.parametrize(("target", "status"), FAULTS.items())
async def test_whatever_comes_of_it_the_body_is_no_request(
    acting: Running, target: bytes, status: int
) -> None:
    for data in (put(SMUGGLED, target) + get(b"/a"), get(b"/a") + put(SMUGGLED, target)):
        answers = await acting.talk(data)
        assert sorted(statuses(answers)) == sorted([status, 302])
        assert b"/smuggled" not in answers


async def test_nor_where_it_was_not_understood(acting: Running) -> None:
    answers = await acting.talk(put(SMUGGLED, b"/m/crash"))
    assert statuses(answers) == [500]
    assert b"\r\nconnection: close\r\n" in answers
    assert statuses(await acting.talk(get(b"/a"))) == [302]


async def test_nor_where_a_client_asks_too_often(mount: Deeds) -> None:
    async with running() as up:
        access = AccessLog(up.traffic)
        up.edge.renew(ask=up.routes.ask, act=mount.act, access=access, limiter=limiter(Clock(), 1))
        answers = await up.talk(put(b"hello") + put(SMUGGLED) + put(SMUGGLED))
    assert statuses(answers) == [201, 429, 429]
    assert len(mount.done) == 1


async def test_an_answer_with_content_is_streamed(acting: Running) -> None:
    answers = await acting.talk(put(b"hello", b"/m/content") + get(b"/a"))
    assert statuses(answers) == [200, 302]
    assert b"\r\n\r\nonetwoHTTP/1.1 302 " in answers


@pytest.mark.parametrize(
    "last", [put(b"hello", version=b"HTTP/1.0"), put(b"hello", b"/m/k", b"Connection: close")]
)
async def test_the_last_answer_says_so(acting: Running, mount: Deeds, last: bytes) -> None:
    async with await acting.connect() as stream:
        await stream.send_all(last + put(b"more"))
        answer = await read_all(stream)
    assert statuses(answer) == [201]
    assert answer.endswith(b" GMT\r\nconnection: close\r\n\r\n")
    assert len(mount.done) == 1


async def test_a_new_application_is_asked_from_now_on(acting: Running, mount: Deeds) -> None:
    other = Deeds()
    async with await acting.connect() as stream:
        await stream.send_all(put(b"one"))
        await read_until(stream, b"\r\n\r\n")
        access = AccessLog(acting.traffic)
        acting.edge.renew(ask=acting.routes.ask, act=other.act, access=access)
        await stream.send_all(put(b"two"))
        await read_until(stream, b"\r\n\r\n")
    assert [body for _, _, body in mount.done] == [b"one"]
    assert [body for _, _, body in other.done] == [b"two"]
