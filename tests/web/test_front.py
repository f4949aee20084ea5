"""What a client sees of file routes and of the paths that are none, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from parparchik.config.model import ServerConfig

if TYPE_CHECKING:
    from tests.web.conftest import Web

IDLE_TIMEOUT_S = ServerConfig().idle_timeout_s


@pytest.mark.parametrize(
    "target",
    [
        "/photos/cat.jpg",
        "/photos//double//slash",
        "//photos/leading",
        "/photos/a%2Fb",
        "/photos/100%25",
        "/photos/%25%32%46",
        "/photos/%D0%BF%D0%B0%D1%80%D0%BF%D0%B0%D1%80.png",
        "/photos/%ff%fe",
        "/photos/../vault/x",
        "/photos/%2e%2e/x",
        "/photos/trailing/",
        "/photos/a+b%20c",
        "/photos/q?x=1?y=2&z=%2F",
        "/photos/semi;colon=1",
        "/status/",
        "/status/x",
        "/%73tatus",
        "//status",
        "/STATUS",
        "/list.json",
        "/",
    ],
)
async def test_the_responder_gets_the_target_as_it_came(web: Web, target: str) -> None:
    reply = await web.ask("GET", target)
    assert reply.status == 302
    assert reply.header("location") == f"http://s3.test{target}"
    assert [(r.method, r.target) for r in web.routes.asked] == [("GET", target.encode())]


@pytest.mark.parametrize(
    ("absolute", "target"),
    [
        ("http://other.test/photos//a?q=http://x/y", "/photos//a?q=http://x/y"),
        ("HTTP://other.test:8080/photos/a", "/photos/a"),
        ("http://other.test", "/"),
    ],
)
async def test_absolute_form_is_taken_without_its_authority(
    web: Web, absolute: str, target: str
) -> None:
    await web.ask("GET", absolute)
    assert web.routes.asked[0].target == target.encode()


async def test_head_has_the_headers_of_get_and_no_body(web: Web) -> None:
    got = await web.ask("GET", "/photos/a", ["X-Request-Id: r"])
    head = await web.ask("HEAD", "/photos/a", ["X-Request-Id: r"])
    assert got.body == b"moved\n"
    assert head.body == b""
    assert head.header("content-length") == "6"
    undated = [[h for h in reply.headers if h[0] != "date"] for reply in (got, head)]
    assert undated[0] == undated[1]
    assert [r.method for r in web.routes.asked] == ["GET", "HEAD"]


async def test_answers_are_dated_and_name_no_server(web: Web) -> None:
    for target in ("/photos/a", "/status"):
        reply = await web.ask("GET", target)
        assert [n for n, _ in reply.headers].count("date") == 1
        assert reply.header("server") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
async def test_file_routes_are_read_only(web: Web, method: str) -> None:
    reply = await web.ask(method, "/photos/a")
    assert reply.status == 405
    assert reply.header("allow") == "GET, HEAD"
    assert reply.json == {"error": "method not allowed"}
    assert web.routes.asked == []


async def test_options_of_the_whole_server(web: Web) -> None:
    assert (await web.ask("OPTIONS", "*")).status == 405


async def test_pipelined_requests_are_answered_in_order(web: Web) -> None:
    web.routes.gate = trio.Event()
    connection = await web.connect()
    async with connection.stream:
        targets = ["/photos/slow", "/photos/2", "/status", "/photos/4"]
        await connection.send(
            b"".join(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % t.encode() for t in targets)
        )
        await trio.testing.wait_all_tasks_blocked()
        web.routes.gate.set()
        replies = [await connection.reply() for _ in targets]
    locations = [reply.header("location") for reply in replies]
    assert locations == [
        "http://s3.test/photos/slow",
        "http://s3.test/photos/2",
        None,
        "http://s3.test/photos/4",
    ]


async def test_a_slow_answer_holds_up_no_other_connection(web: Web, nursery: trio.Nursery) -> None:
    web.routes.gate = trio.Event()
    nursery.start_soon(web.ask, "GET", "/photos/slow")
    assert (await web.ask("GET", "/photos/quick")).status == 302
    web.routes.gate.set()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("abc-123", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("", False),
        ("naïve", False),
    ],
)
async def test_request_id_is_echoed_if_sane_and_made_otherwise(
    web: Web, sent: str, kept: bool
) -> None:
    for target in ("/photos/a", "/status"):
        reply = await web.ask("GET", target, [f"X-Request-Id: {sent}"])
        answered = reply.header("x-request-id")
        assert answered
        assert (answered == sent) is kept


async def test_made_request_ids_differ(web: Web) -> None:
    ids = {(await web.ask("GET", "/photos/a")).header("x-request-id") for _ in range(3)}
    assert len(ids) == 3


async def test_the_presented_key_reaches_the_responder(web: Web) -> None:
    await web.ask("GET", "/photos/a", ["Authorization: Bearer k1"])
    await web.ask("GET", "/photos/a", ["X-API-Key: k2"])
    await web.ask("GET", "/photos/a")
    assert [request.api_key for request in web.routes.asked] == [b"k1", b"k2", b""]


async def test_a_crash_is_a_json_500_and_the_connection_goes_on(web: Web) -> None:
    web.routes.crash = ValueError("secret detail")
    connection = await web.connect()
    async with connection.stream:
        reply = await connection.ask("GET", "/photos/a")
        assert reply.status == 500
        assert reply.json == {"error": "internal server error"}
        web.routes.crash = None
        assert (await connection.ask("GET", "/photos/a")).status == 302


async def test_a_small_body_is_read_and_ignored(web: Web) -> None:
    connection = await web.connect()
    async with connection.stream:
        for _ in range(2):
            reply = await connection.ask("GET", "/photos/a", ["Content-Length: 5"], b"hello")
            assert reply.status == 302


@pytest.mark.parametrize("target", ["/photos/a", "/status"])
async def test_a_large_body_is_refused(web: Web, target: str) -> None:
    body = bytes(3_000_000)
    reply = await web.ask("GET", target, [f"Content-Length: {len(body)}"], body)
    assert reply.status == 413
    assert "error" in reply.json
    assert web.routes.asked == []


async def test_a_body_that_does_not_come_is_not_waited_for(
    web: Web, autojump_clock: MockClock
) -> None:
    reply = await web.ask("GET", "/photos/a", ["Content-Length: 5"], b"he")
    assert reply.status == 408


async def test_a_client_that_leaves_before_its_request_is_complete_is_counted(
    web: Web,
) -> None:
    connection = await web.connect()
    await connection.send(b"GET /photos/a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    await connection.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert web.traffic.requests() == (("other", 499, 1),)


async def test_who_asks_for_a_websocket_is_answered_in_http(web: Web) -> None:
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    reply = await web.ask(
        "GET", "/photos/a", [*upgrade, "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ=="]
    )
    assert reply.status == 302


async def test_requests_are_counted_by_kind_and_status(web: Web) -> None:
    await web.ask("GET", "/photos/a")
    await web.ask("HEAD", "/photos/a")
    await web.ask("GET", "/redines")
    await web.ask("PUT", "/photos/a")
    await trio.testing.wait_all_tasks_blocked()
    assert web.traffic.requests() == (
        ("other", 405, 1),
        ("readiness", 200, 1),
        ("redirect", 302, 2),
    )
    assert web.traffic.redirect_seconds.snapshot().cumulative[-1] == 2


@pytest.mark.parametrize("target", ["/photos/a", "/status", "/list"])
async def test_a_kept_connection_is_closed_when_it_was_idle_for_long(
    web: Web, autojump_clock: MockClock, target: str
) -> None:
    connection = await web.connect()
    async with connection.stream:
        for _ in range(3):
            await connection.ask("GET", target)
        await trio.sleep(IDLE_TIMEOUT_S - 1)
        assert web.connections.count == 1
        await connection.ask("GET", target)
        await trio.sleep(IDLE_TIMEOUT_S + 1)
        assert web.connections.count == 0
