"""Small uploads whose bodies come in pieces, late, or not at all."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from parparchik.edge import holding
from parparchik.model import Answer
from tests.edge.conftest import Known, Running, read_all, read_until, until
from tests.edge.deeds import Deeds, put
from tests.edge.test_edge import SAFETY_S, get, locations
from tests.edge.test_limits_and_traces import statuses

SMUGGLED = get(b"/smuggled")


@pytest.mark.usefixtures("patient")
async def test_however_it_is_split(acting: Running, mount: Deeds) -> None:
    data = get(b"/a") + put(b"hello") + put(b"", method=b"DELETE") + put(SMUGGLED) + get(b"/b")
    for cut in range(1, len(data), 5):
        answers = await acting.talk(data[:cut], data[cut:])
        assert locations(answers) == [b"/a", b"/m/k", b"/m/k", b"/m/k", b"/b"]
        assert [body for _, _, body in mount.done[-3:]] == [b"hello", b"", SMUGGLED]
    assert acting.handed_over == 0


@pytest.mark.usefixtures("patient")
async def test_byte_by_byte(acting: Running, mount: Deeds) -> None:
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as stream:
            for _ in range(2):
                for byte in put(b"hello"):
                    await stream.send_all(bytes([byte]))
                    await trio.testing.wait_all_tasks_blocked(0.001)
                assert statuses(await read_until(stream, b"\r\n\r\n")) == [201]
    assert mount.done == [("PUT", b"/m/k", b"hello")] * 2
    assert acting.handed_over == 0


async def test_a_body_that_does_not_come_is_for_others_to_wait_for(
    acting: Running, mount: Deeds
) -> None:
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as stream:
            await stream.send_all(get(b"/a") + put(b"hello")[:-1])
            assert locations(await read_until(stream, b"\r\n\r\n")) == [b"/a"]
            await until(lambda: acting.handed_over)
            await stream.send_all(b"o")
            await stream.send_eof()
            assert await read_all(stream) == b"handed over"
    assert acting.other.got == [put(b"hello")]
    assert mount.done == []


@pytest.mark.usefixtures("patient")
async def test_a_client_that_ends_amid_a_body_is_for_others_too(
    acting: Running, mount: Deeds
) -> None:
    assert await acting.talk(put(b"hello")[:-1]) == b"handed over"
    assert acting.other.got == [put(b"hello")[:-1]]
    assert mount.done == []


@pytest.mark.usefixtures("patient")
async def test_only_so_many_are_waited_for(
    acting: Running, mount: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_HELD", 1)
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as one, await acting.connect() as other:
            for _ in range(2):  # who is done makes room
                await one.send_all(put(b"hello")[:-1])
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert acting.handed_over == 0
                await one.send_all(b"o")
                assert statuses(await read_until(one, b"\r\n\r\n")) == [201]
            await one.send_all(put(b"hello")[:-1])
            await trio.testing.wait_all_tasks_blocked(0.02)
            await other.send_all(put(b"hello")[:-1])
            await until(lambda: acting.handed_over == 1)
            await one.send_all(b"o")
            assert statuses(await read_until(one, b"\r\n\r\n")) == [201]


async def test_who_has_closed_makes_room(acting: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MOST_HELD", 1)
    with trio.fail_after(SAFETY_S):
        for _ in range(3):
            async with await acting.connect() as stream:
                await stream.send_all(put(b"hello")[:-1])
            await until(lambda: not acting.edge.count)
        assert statuses(await acting.talk(put(b"hello"))) == [201]


@pytest.mark.usefixtures("patient")
async def test_a_drain_waits_for_the_body_and_the_deed(acting: Running, mount: Deeds) -> None:
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as stream, trio.open_nursery() as nursery:
            await stream.send_all(put(b"hello", b"/m/waits")[:-1])
            await until(lambda: acting.edge.count)
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.start_soon(acting.edge.drain)
            await trio.testing.wait_all_tasks_blocked(0.02)
            await stream.send_all(b"o")
            await until(lambda: mount.sizes)
            mount.go_on.set()
            answer = await read_all(stream)
    assert answer.endswith(b"\r\nconnection: close\r\n\r\n")
    assert [body for _, _, body in mount.done] == [b"hello"]


@pytest.mark.usefixtures("patient")
async def test_answers_that_a_client_is_slow_to_take_go_first(acting: Running) -> None:
    acting.routes.questions[b"/big"] = Known(Answer(200, (), b"z" * 30_000_000))
    with trio.fail_after(SAFETY_S):
        async with await acting.connect() as stream:
            await stream.send_all(get(b"/big") + put(b"hello")[:-1])
            await trio.testing.wait_all_tasks_blocked(0.02)
            await stream.send_all(b"o" + get(b"/a"))
            answers = bytearray()
            while len(locations(bytes(answers[-1_000:]))) < 2:
                answers += await stream.receive_some()
    assert locations(bytes(answers[-1_000:])) == [b"/m/k", b"/a"]
    assert acting.handed_over == 0
