"""HTTP/2: a bad request costs its stream, a bad client its connection, and nobody else anything."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.server.http2 import MAX_AT_WORK, MAX_RESETS, MAX_STREAMS
from parparchik.server.http2_fields import refusal_of
from parparchik.server.stream import LINGER_S
from tests.server.web_plane import GET, SOUND, Server, Start, hello, respond, until, when

if TYPE_CHECKING:
    from tests.server.conftest import Logged


def with_path(path: bytes, method: bytes = b"GET") -> tuple[tuple[bytes, bytes], ...]:
    return ((b":method", method), *SOUND[1:3], (b":path", path))


async def is_well(server: Server) -> None:
    """Others are answered."""
    bystander = await server.connect()
    await bystander.send_all(GET)
    assert b"hello" in await until(bystander, b"hello")


async def test_with_prior_knowledge(start: Start) -> None:
    client = await (await start(hello)).connect_h2()
    for _ in range(2):
        assert (await client.ask()).body == b"hello"


MALFORMED = {
    "non-ASCII path": with_path("/ü".encode()),
    "empty path": with_path(b""),
    "space in the path": with_path(b"/a b"),
    "asterisk": with_path(b"*"),
    "absolute form": with_path(b"http://t/"),
    "line break in the path": with_path(b"/ HTTP/1.1\r\nx: y"),
    "no path": SOUND[:3],
    "no scheme": (SOUND[0], *SOUND[2:]),
    "no method": SOUND[1:],
    "no authority": (*SOUND[:2], SOUND[3]),
    "bad authority": (*SOUND[:2], (b":authority", b"a b"), SOUND[3]),
    "another Host": (*SOUND, (b"host", b"u")),
    "two Hosts": (*SOUND[:2], SOUND[3], (b"host", b"t"), (b"host", b"t")),
    "two paths": (*SOUND, (b":path", b"/")),
    "unknown pseudo-field": (*SOUND, (b":version", b"2")),
    "pseudo-field at the end": (*SOUND[:3], (b"x", b"y"), SOUND[3]),
    "bad method": with_path(b"/", "GÉT".encode()),
    "tunnel": with_path(b"/", b"CONNECT"),
    "tunnel without a path": ((b":method", b"CONNECT"), (b":authority", b"t:1")),
    "capitals": (*SOUND, (b"X-A", b"b")),
    "no name": (*SOUND, (b"", b"b")),
    "space in a name": (*SOUND, (b"x a", b"b")),
    "colon in a name": (*SOUND, (b"x:a", b"b")),
    "line break in a value": (*SOUND, (b"x", b"a\r\nhost: u")),
    "NUL in a value": (*SOUND, (b"x", b"a\0b")),
    "space around a value": (*SOUND, (b"x", b" a")),
    "connection's own field": (*SOUND, (b"connection", b"close")),
    "chunked": (*SOUND, (b"transfer-encoding", b"chunked")),
    "te": (*SOUND, (b"te", b"gzip")),
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_the_malformed_is_refused_and_the_connection_goes_on(
    start: Start, fields: tuple[tuple[bytes, bytes], ...], logged: Logged
) -> None:
    server = await start(hello)
    client = await server.connect_h2()
    refused = await client.ask(fields)
    assert refused.status == 400
    assert b'"error"' in refused.body
    assert (await client.ask()).body == b"hello"
    assert server.connections.house.refused.total() == 1
    assert logged.named("connection failed") == []


async def test_a_head_as_large_as_http1_takes_none(start: Start) -> None:
    client = await (await start(hello)).connect_h2()
    assert (await client.ask((*SOUND, (b"x", b"y" * 16_000)))).status == 200
    assert (await client.ask((*SOUND, (b"x", b"y" * 20_000)))).status == 431
    assert (await client.ask()).body == b"hello"


async def test_a_refusal_of_head_has_no_body(start: Start) -> None:
    client = await (await start(hello)).connect_h2()
    answer = await client.ask(with_path(b"/a b", b"HEAD"))
    assert (answer.status, answer.body, answer.ended) == (400, b"", True)


@pytest.mark.parametrize(
    "fields",
    [
        with_path(b"/a#b?c#d"),
        with_path(b"*", b"OPTIONS"),
        (*SOUND[:2], SOUND[3], (b"host", b"t")),
        (*SOUND, (b"host", b"t"), (b"te", b"trailers"), (b"x", b""), (b"cookie", b"a=b")),
    ],
)
def test_what_is_odd_and_sound(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert refusal_of(fields) is None


async def test_a_header_bomb_costs_its_connection_alone(start: Start) -> None:
    server = await start(hello)
    client = await server.connect_h2()
    # The second and later ones travel as an index of a byte or two.
    client.begin((*SOUND, *((b"x", b"y" * 3_000) for _ in range(200))))
    await client.flush()
    await client.until_closed()
    assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
    await is_well(server)


async def test_an_upload_that_goes_on_after_the_answer_harms_nobody(
    start: Start, logged: Logged
) -> None:
    client = await (await start(hello)).connect_h2()
    upload = client.begin((*SOUND, (b"content-length", b"40000")), end_stream=False)
    await client.flush()
    assert (await client.answer(upload)).body == b"hello"
    for _ in range(4):
        client.h2.send_data(upload, bytes(10_000))
    await client.flush()
    assert (await client.ask()).body == b"hello"
    assert client.answers[upload].reset == ErrorCodes.NO_ERROR
    assert logged.named("connection failed") == []


async def until_gone(scope: Any, receive: Any, send: Any) -> None:
    """Answers plain requests, and of others waits for the end."""
    if scope["http_version"] != "2":
        await respond(send, b"hello")
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_thousands_of_resets_end_their_connection(start: Start) -> None:
    server = await start(until_gone)
    client = await server.connect_h2()
    with trio.fail_after(30), suppress(trio.BrokenResourceError):  # it may be cut off at any byte
        for _ in range(20 * MAX_RESETS):
            client.h2.reset_stream(client.begin())
            await client.flush()
        await client.until_closed()
    await is_well(server)
    await client.stream.aclose()
    await wait_all_tasks_blocked()
    assert server.connections.count == 1  # the bystander's


async def test_too_many_resets_are_told_why(start: Start) -> None:
    client = await (await start(until_gone)).connect_h2()
    for _ in range(MAX_RESETS + 1):
        client.h2.reset_stream(client.begin())
    await client.flush()
    await client.until_closed()
    assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM


async def test_what_was_reset_and_still_works_is_bounded(start: Start) -> None:
    at_work = most = 0
    gate = trio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await gate.wait()
        at_work -= 1
        await respond(send, b"hello")

    server = await start(slow)
    client = await server.connect_h2()
    for _ in range(MAX_RESETS - 1):
        client.h2.reset_stream(client.begin())
    last = client.begin()
    await client.flush()
    await wait_all_tasks_blocked()
    assert MAX_AT_WORK <= most < 2 * MAX_AT_WORK
    gate.set()
    assert (await client.answer(last)).body == b"hello"


async def test_a_client_that_is_not_read_and_leaves_is_no_failure(
    start: Start, logged: Logged
) -> None:
    gate = trio.Event()
    server = await start(when(gate))
    client = await server.connect_h2()
    for _ in range(MAX_RESETS - 1):
        client.h2.reset_stream(client.begin())
    await client.flush()
    await wait_all_tasks_blocked()
    server.connections.abort()
    await wait_all_tasks_blocked()
    gate.set()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0
    assert logged.named("connection failed") == []


async def test_an_answer_that_nobody_waits_for_any_more_holds_nothing(start: Start) -> None:
    gate = trio.Event()
    server = await start(when(gate))
    client = await server.connect_h2()
    client.begin()
    await client.flush()
    await wait_all_tasks_blocked()
    await client.stream.aclose()
    await wait_all_tasks_blocked()
    gate.set()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0


async def test_what_waits_to_be_read_is_refused_when_it_drains(
    start: Start, nursery: trio.Nursery, logged: Logged
) -> None:
    gate = trio.Event()
    server = await start(when(gate))
    client = await server.connect_h2()
    for _ in range(MAX_RESETS - 1):
        client.h2.reset_stream(client.begin())
    await client.flush()
    await wait_all_tasks_blocked()
    nursery.start_soon(server.connections.drain)
    await trio.sleep(LINGER_S + 0.2)
    gate.set()
    await client.until_closed()
    await client.stream.aclose()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0
    assert logged.named("connection failed") == []


async def test_priorities_are_not_kept(start: Start, logged: Logged) -> None:
    client = await (await start(hello)).connect_h2()
    for number in range(1, 6_001, 2):
        client.h2.prioritize(number, weight=10)
    await client.flush()
    assert (await client.ask()).body == b"hello"
    assert logged.named("connection failed") == []


async def test_more_streams_than_there_may_be(start: Start) -> None:
    gate = trio.Event()
    server = await start(when(gate))
    client = await server.connect_h2()
    await client.receive()
    assert client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] == MAX_STREAMS
    client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 10 * MAX_STREAMS
    client.h2.remote_settings.acknowledge()
    for _ in range(MAX_STREAMS + 1):
        client.begin()
    await client.flush()
    await client.until_closed()
    assert client.goodbye is not None
    gate.set()
    await is_well(server)


async def test_a_client_that_grants_no_window_loses_its_stream(
    start: Start, autojump_clock: MockClock
) -> None:
    server = await start(hello, write_timeout_s=20.0)
    client = await server.connect_h2()
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    number = client.begin()
    await client.flush()
    while not client.answers[number].over:
        await client.receive()
    answer = client.answers[number]
    assert (answer.status, answer.body, answer.reset) == (200, b"", ErrorCodes.CANCEL)
    assert server.connections.house.timed_out == {"write": 1}
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    assert (await client.ask()).body == b"hello"


async def test_it_is_told_to_go_and_what_is_under_way_is_answered(
    start: Start, nursery: trio.Nursery
) -> None:
    gate = trio.Event()
    server = await start(when(gate))
    client = await server.connect_h2()
    first = client.begin()
    await client.flush()
    await wait_all_tasks_blocked()
    nursery.start_soon(server.connections.drain)
    await wait_all_tasks_blocked()
    with trio.fail_after(5):
        while client.goodbye is None:
            await client.receive()
    # It had not heard of that when it sent these, or does not listen.
    client.h2.state_machine.state = type(client.h2.state_machine.state).CLIENT_OPEN
    on_its_way = client.begin()
    await client.flush()
    await trio.sleep(LINGER_S + 0.2)
    late = client.begin()
    await client.flush()
    assert (await client.answer(late)).reset == ErrorCodes.REFUSED_STREAM
    gate.set()
    assert (await client.answer(first)).body == b"hello"
    assert (await client.answer(on_its_way)).body == b"hello"
    await client.until_closed()
    await client.stream.aclose()
    await wait_all_tasks_blocked()
    assert server.connections.count == 0
