"""/list: complete, sorted, streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from parparchik.config.model import RoutesConfig
from parparchik.errors import Unavailable
from parparchik.model import Bucket, Entry

if TYPE_CHECKING:
    from tests.web.conftest import StartWeb, Web

PUBLIC = Bucket("photos", public=True)


def entries(count: int) -> list[Entry]:
    return [Entry(f"{number:06}/файл", PUBLIC, number, number) for number in range(count)]


async def test_empty(web: Web) -> None:
    reply = await web.ask("GET", "/list")
    assert (reply.status, reply.json) == (200, {"count": 0, "files": []})
    assert reply.header("content-type") == "application/json"


async def test_every_entry_once_in_order_across_batches(web: Web) -> None:
    web.files.entries = entries(2_001)
    listed = (await web.ask("GET", "/list")).json
    assert listed["count"] == 2_001
    files = listed["files"]
    assert isinstance(files, list)
    assert [file["key"] for file in files] == [entry.key for entry in web.files.entries]
    assert files[7] == {
        "key": "000007/файл",
        "bucket": "photos",
        "bucket_type": "public",
        "route": "/photos/000007/файл",
        "size": 7,
        "last_modified": "1970-01-01T00:00:07Z",
    }


async def test_head_promises_no_length_and_sends_nothing(web: Web) -> None:
    web.files.entries = entries(5)
    connection = await web.connect()
    async with connection.stream:
        head = await connection.ask("HEAD", "/list")
        assert (head.status, head.body) == (200, b"")
        assert head.header("content-length") is None
        assert (await connection.ask("GET", "/list")).json["count"] == 5


async def test_probes_are_answered_while_a_long_list_is_read_slowly(web: Web) -> None:
    web.files.entries = entries(50_000)
    listing = await web.connect()
    async with listing.stream:
        await listing.send(b"GET /list HTTP/1.1\r\nHost: t\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()  # nobody reads: the server waits
        for _ in range(20):
            assert (await web.ask("GET", "/healthcheck")).status == 200
        assert (await listing.reply()).json["count"] == 50_000


async def test_probes_get_their_turn_between_batches(web: Web, nursery: trio.Nursery) -> None:
    web.files.entries = entries(50_000)
    done = trio.Event()

    async def read_list() -> None:
        assert (await web.ask("GET", "/list")).json["count"] == 50_000
        done.set()

    probe = await web.connect()
    async with probe.stream:
        assert (await probe.ask("GET", "/healthcheck")).status == 200
        nursery.start_soon(read_list)
        answered = 0
        while not done.is_set():
            assert (await probe.ask("GET", "/healthcheck")).status == 200
            answered += 1
    assert answered > 10


async def test_a_client_that_leaves_ends_the_stream(web: Web) -> None:
    web.files.entries = entries(50_000)
    connection = await web.connect()
    await connection.send(b"GET /list HTTP/1.1\r\nHost: t\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    assert web.connections.count == 1
    await connection.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert web.connections.count == 0


async def test_a_crash_half_way_is_seen_by_the_client(web: Web) -> None:
    web.files.entries = entries(3_000)
    web.files.crash_after = 2
    reply = await web.ask("GET", "/list")
    assert reply.status == 200
    assert not reply.complete


async def test_sync_on_request_and_by_configuration(start_web: StartWeb) -> None:
    web = await start_web()
    for query, syncs in (("", 0), ("?sync=false", 0), ("?sync=true", 1), ("?sync=1", 2)):
        assert (await web.ask("GET", f"/list{query}")).status == 200
        assert web.service.syncs == syncs
    web = await start_web(routes=RoutesConfig(list_sync=True))
    await web.ask("GET", "/list")
    assert web.service.syncs == 1


async def test_a_sync_that_fails_lists_nothing(web: Web) -> None:
    web.files.entries = entries(3)
    web.service.failure = Unavailable("S3 does not answer")
    reply = await web.ask("GET", "/list?sync=true")
    assert (reply.status, reply.json) == (503, {"error": "S3 does not answer"})
