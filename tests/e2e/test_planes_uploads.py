"""Bodies that clients send: as fast as they are read and no faster, and not at all where nobody
wants them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from parparchik.errors import ClientGone, Forbidden, TooLarge
from parparchik.model import Answer, Request, Upload
from parparchik.web import Place
from tests.e2e.byte_clients import HTTP_1, WAYS, Http1, fields_of, http_1, http_2
from tests.e2e.hostile import Planes, both_planes
from tests.edge.conftest import until
from tests.mounts import FakeMount
from tests.server.web_plane import Answered, H2Client

LARGE = 64 << 20
PIECE = os.urandom(65_536)
AHEAD_BYTES = 24 << 20
"""More than the kernel holds of a loopback connection, and far less than a large body."""


class Store:
    """What is done with a body, by the path; `seen` has what came of it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.sizes: list[int | None] = []
        self.read_bytes = 0
        self.gone = 0
        self.go_on = trio.Event()

    async def act(self, request: Request, upload: Upload) -> Answer:
        self.sizes.append(upload.size_bytes)
        what = request.target.rpartition(b"/")[2]
        if what == b"forbidden":
            raise Forbidden("not here")
        if what == b"bug":
            raise RuntimeError("a bug")
        if what == b"unread":
            return Answer(200, (), b"unread")
        if what == b"waits":
            await self.go_on.wait()
        if what == b"large":
            await upload.read()
            raise TooLarge("too much")
        digest = hashlib.sha256()
        try:
            while piece := await upload.read():
                self.read_bytes += len(piece)
                digest.update(piece)
                if what == b"slow":
                    await trio.lowlevel.checkpoint()
        except ClientGone:
            self.gone += 1
            raise
        assert await upload.read() == b""
        self.seen.append(digest.digest())
        return Answer(200, (), b"stored %d" % self.read_bytes, "objects")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def planes(tmp_path: Path, store: Store) -> AsyncIterator[Planes]:
    places = [Place("", "/m/", FakeMount(acts=store.act))]
    async with both_planes(tmp_path, places, upload_timeout_s=1.0) as planes:
        yield planes


def put(target: str, *lines: str) -> bytes:
    head = [f"PUT {target} HTTP/1.1", "Host: t", *lines, "", ""]
    return "\r\n".join(head).encode()


def length(size: int) -> str:
    return f"Content-Length: {size}"


async def feed(client: H2Client, number: int, body: bytes, *, end: bool = True) -> None:
    """Send `body` as the windows allow."""
    view = memoryview(body)
    while view:
        room = client.h2.local_flow_control_window(number)
        room = min(room, client.h2.max_outbound_frame_size, len(view))
        if room:
            client.h2.send_data(number, bytes(view[:room]))
            view = view[room:]
            await client.flush()
        else:
            await client.receive()
    if end:
        client.h2.end_stream(number)
        await client.flush()


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_001])
@pytest.mark.parametrize("way", HTTP_1)
async def test_a_body_arrives_whole(planes: Planes, store: Store, way: str, size: int) -> None:
    body = os.urandom(size)
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[n : n + 999]), body[n : n + 999]) for n in range(0, size, 999)
    )
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(put("/m/k", length(size)) + body)
        assert (await connection.answer("PUT")).body == b"stored %d" % size
        head = put("/m/k", "Transfer-Encoding: chunked")
        await connection.stream.send_all(head + chunks + b"0\r\n\r\n")
        assert (await connection.answer("PUT")).body == b"stored %d" % (2 * size)
        await connection.send("GET", "/b/k")
        assert (await connection.answer("GET")).status == 302
    assert store.seen == [hashlib.sha256(body).digest()] * 2
    assert store.sizes == [size, None]


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_001])
async def test_a_body_arrives_whole_over_http_2(planes: Planes, store: Store, size: int) -> None:
    body = os.urandom(size)
    async with http_2(planes) as client:
        headers = ((b"content-length", b"%d" % size),)
        for fields in (fields_of("PUT", "/m/k", headers), fields_of("PUT", "/m/k")):
            number = client.begin(fields, end_stream=False)
            await feed(client, number, body)
            assert (await client.answer(number)).ended
    assert store.seen == [hashlib.sha256(body).digest()] * 2
    assert store.sizes == [size, None]


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_body_byte_by_byte(planes: Planes, store: Store, way: str) -> None:
    async with http_1(planes, way) as connection:
        for byte in put("/m/k", length(5)) + b"12345":
            await connection.stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await connection.answer("PUT")).body == b"stored 5"


async def test_a_body_in_frames_of_a_byte_with_padding(planes: Planes, store: Store) -> None:
    async with http_2(planes) as client:
        number = client.begin(fields_of("PUT", "/m/k"), end_stream=False)
        for _ in range(3_000):
            while client.h2.local_flow_control_window(number) < 300:
                await client.receive()
            client.h2.send_data(number, b"x", pad_length=200)
            await client.flush()
        client.h2.end_stream(number)
        await client.flush()
        assert (await client.answer(number)).body == b"stored 3000"


@pytest.mark.parametrize("way", HTTP_1)
async def test_nothing_is_read_ahead_of_a_slow_reader(
    planes: Planes, store: Store, way: str
) -> None:
    sent = 0
    async with http_1(planes, way) as connection, trio.open_nursery() as nursery:

        async def send() -> None:
            nonlocal sent
            await connection.stream.send_all(put("/m/slow", length(LARGE)))
            for _ in range(LARGE // len(PIECE)):
                await connection.stream.send_all(PIECE)
                sent += len(PIECE)
                assert sent - store.read_bytes < AHEAD_BYTES

        nursery.start_soon(send)
        assert (await connection.answer("PUT")).body == b"stored %d" % LARGE


@pytest.mark.parametrize("way", HTTP_1)
async def test_nor_of_one_that_does_not_read(planes: Planes, store: Store, way: str) -> None:
    sent = 0
    async with http_1(planes, way) as connection, trio.open_nursery() as nursery:

        async def send() -> None:
            nonlocal sent
            await connection.stream.send_all(put("/m/waits", length(LARGE)))
            for _ in range(LARGE // len(PIECE)):
                await connection.stream.send_all(PIECE)
                sent += len(PIECE)

        nursery.start_soon(send)
        await until(lambda: store.sizes)
        await trio.testing.wait_all_tasks_blocked(0.3)
        assert sent < AHEAD_BYTES
        store.go_on.set()
        assert (await connection.answer("PUT")).body == b"stored %d" % LARGE


async def test_in_http_2_the_window_holds_the_client_back_and_nobody_else(
    planes: Planes, store: Store
) -> None:
    async with http_2(planes) as client:
        waits = client.begin(fields_of("PUT", "/m/waits"), end_stream=False)
        client.h2.send_data(waits, PIECE[:16_384])
        for _ in range(16_384):  # small frames cost no more
            client.h2.send_data(waits, b"x")
        for _ in range(2):
            client.h2.send_data(waits, PIECE[:16_000])
        await client.flush()
        for _ in range(3):  # the same connection, larger than its window
            number = client.begin(fields_of("PUT", "/m/k"), end_stream=False)
            await feed(client, number, PIECE * 4)
            assert (await client.answer(number)).ended
        # What is not read is not granted again.
        assert client.h2._get_stream_by_id(waits).outbound_flow_control_window < 16_384 + 1_000
        store.go_on.set()
        client.h2.end_stream(waits)
        await client.flush()
        assert (await client.answer(waits)).ended


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_client_that_leaves_is_gone(planes: Planes, store: Store, way: str) -> None:
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(put("/m/k", length(100)) + b"1234")
        await until(lambda: store.read_bytes)
    await until(lambda: store.gone)
    await until(lambda: ("other", 499, 1) in planes.traffic.requests())
    assert store.seen == []


async def test_a_stream_that_is_reset_is_gone(planes: Planes, store: Store) -> None:
    async with http_2(planes) as client:
        number = client.begin(fields_of("PUT", "/m/k"), end_stream=False)
        client.h2.send_data(number, b"1234")
        await client.flush()
        await until(lambda: store.read_bytes)
        client.h2.reset_stream(number)
        await client.flush()
        await until(lambda: store.gone)
    assert store.seen == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_that_does_not_come_is_not_waited_for(
    planes: Planes, store: Store, way: str
) -> None:
    if way == "h2":
        async with http_2(planes) as client:
            number = client.begin(fields_of("PUT", "/m/k"), end_stream=False)
            client.h2.send_data(number, b"1234")
            await client.flush()
            assert (await client.answer(number)).status == 408
    else:
        async with http_1(planes, way) as connection:
            await connection.stream.send_all(put("/m/k", length(100)) + b"1234")
            assert (await connection.answer("PUT")).status == 408
            await until_closed(connection)
    assert store.seen == []


async def until_closed(connection: Http1) -> None:
    with trio.fail_after(5), pytest.raises((EOFError, trio.BrokenResourceError)):
        await connection.more()


REFUSED = {"forbidden": 403, "unread": 200, "bug": 500}
EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize(("what", "status"), REFUSED.items())
@pytest.mark.parametrize("way", HTTP_1)
async def test_a_refusal_comes_without_the_body(
    planes: Planes, way: str, what: str, status: int
) -> None:
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(put(f"/m/{what}", length(LARGE), EXPECT))
        line, headers = await connection.head()
        assert int(line.split(b" ")[1]) == status  # and not 100
        # What would come next might be the body, and might be a request.
        assert dict(headers)[b"connection"] == b"close"


@pytest.mark.parametrize("target", ["/b/k", "/status"])
async def test_nobody_asks_for_a_body_that_no_method_takes(planes: Planes, target: str) -> None:
    async with http_1(planes, "edge") as connection:
        await connection.stream.send_all(put(target, length(9), EXPECT))
        line, headers = await connection.head()
        assert line.startswith(b"HTTP/1.1 405 ")
        assert dict(headers)[b"connection"] == b"close"


@pytest.mark.parametrize("way", HTTP_1)
async def test_who_wants_the_body_asks_for_it(planes: Planes, store: Store, way: str) -> None:
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(put("/m/waits", length(4), EXPECT))
        await until(lambda: store.sizes)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.move_on_after(0.05):
            raise AssertionError(await connection.head())
        store.go_on.set()
        line, _ = await connection.head()
        assert line == b"HTTP/1.1 100 Continue"
        await connection.stream.send_all(b"1234")
        assert (await connection.answer("PUT")).body == b"stored 4"
        await connection.send("GET", "/b/k")
        assert (await connection.answer("GET")).status == 302


@pytest.mark.parametrize("way", HTTP_1)
async def test_who_does_not_wait_is_not_asked(planes: Planes, store: Store, way: str) -> None:
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(put("/m/waits", length(4), EXPECT) + b"1234")
        await until(lambda: store.sizes)
        await trio.testing.wait_all_tasks_blocked(0.05)
        store.go_on.set()
        line, _ = await connection.head()
        assert line == b"HTTP/1.1 200 OK"


async def test_in_http_2_it_is_the_same(planes: Planes, store: Store) -> None:
    async with http_2(planes) as client:
        expects = ((b"expect", b"100-continue"),)
        refused = client.begin(fields_of("PUT", "/m/forbidden", expects), end_stream=False)
        await client.flush()
        answer = await client.answer(refused)
        assert (answer.status, answer.informed) == (403, [])
        number = client.begin(fields_of("PUT", "/m/k", expects), end_stream=False)
        await client.flush()
        while not client.answers[number].informed:
            await client.receive()
        await feed(client, number, b"1234")
        answer = await client.answer(number)
        assert (answer.status, answer.informed) == (200, [100])


@pytest.mark.parametrize(("what", "status"), [*REFUSED.items(), ("large", 413)])
@pytest.mark.parametrize("way", HTTP_1)
async def test_an_answer_arrives_though_the_body_is_not_read(
    planes: Planes, way: str, what: str, status: int
) -> None:
    async with http_1(planes, way) as connection, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                for _ in range(LARGE // len(PIECE)):
                    await connection.stream.send_all(PIECE)
            except trio.BrokenResourceError:
                pass

        await connection.stream.send_all(put(f"/m/{what}", length(LARGE)))
        nursery.start_soon(send)
        assert (await connection.answer("PUT")).status == status
        nursery.cancel_scope.cancel()
    await until(lambda: not planes.plane.count)


@pytest.mark.parametrize(("what", "status"), [*REFUSED.items(), ("large", 413)])
async def test_and_in_http_2(planes: Planes, what: str, status: int) -> None:
    async with http_2(planes) as client:
        number = client.begin(fields_of("PUT", f"/m/{what}"), end_stream=False)
        client.h2.send_data(number, PIECE[:16_384])
        await client.flush()
        answer: Answered = await client.answer(number)
        assert answer.status == status
        other = client.begin(fields_of("PUT", "/m/k"), end_stream=False)
        await feed(client, other, PIECE * 4)
        assert (await client.answer(other)).status == 200
