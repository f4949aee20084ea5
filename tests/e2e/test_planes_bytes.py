"""Bodies that come as they are sent: every plane answers with the same bytes, breaks off what does
not end well, and lets go of what a client does not wait for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from parparchik.errors import Truncated, Unavailable
from parparchik.model import Answer, Block, FileBlock
from parparchik.web import Place
from tests.e2e.byte_clients import HTTP_1, WAYS, ask, fields_of, http_1, http_2
from tests.e2e.hostile import Planes, both_planes
from tests.edge.conftest import until
from tests.mounts import Blocks, FakeMount, ReadyBlocks, until_closed

LARGE = 50 << 20
SIZES = (0, 1, 4_096, 4_097, 65_536, 65_537, 1 << 20, (1 << 20) + 1)
INTERNAL_ERROR, CANCEL = 2, 8


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bytes") / "large"
    block = os.urandom(1 << 20)
    with path.open("wb") as out:
        for number in range(LARGE >> 20):
            out.write(number.to_bytes(8, "big") + block[8:])
    return path


class Made:
    """Remembers the contents that it makes."""

    def __init__(self, kind: type[Blocks]) -> None:
        self._kind = kind
        self.contents: list[Blocks] = []

    def of(
        self, *blocks: Block | trio.Event | Exception, length: int | None = None, status: int = 200
    ) -> Callable[[], Answer]:
        def make() -> Answer:
            self.contents.append(self._kind(blocks))
            return self.contents[-1].answer(length, status=status)

        return make


@pytest.fixture(params=[Blocks, ReadyBlocks])
def made(request: pytest.FixtureRequest) -> Made:
    """Bodies that are waited for, and such as are at hand."""
    return Made(request.param)


@pytest.fixture
def mount(made: Made, file: Path) -> FakeMount:
    fd = os.open(file, os.O_RDONLY)
    blocks = tuple(FileBlock(fd, n << 20, 1 << 20) for n in range(LARGE >> 20))
    sized = {
        b"/m/ready/%d" % size: (lambda size=size: Answer(200, (), bytes(size), "m"))
        for size in SIZES
    }
    streamed = {b"/m/bytes/%d" % size: made.of(os.urandom(size)) for size in SIZES}
    return FakeMount(
        {
            **sized,
            **streamed,
            b"/m/blocks": made.of(b"one", b"", memoryview(b"..two..")[2:-2], FileBlock(fd, 3, 9)),
            b"/m/empty": made.of(length=0),
            b"/m/large": made.of(*blocks),
            b"/m/partial": made.of(b"part", status=206),
            b"/m/304": made.of(b"left out", status=304),
            b"/m/204": made.of(b"left out", status=204),
            b"/m/304r": lambda: Answer(304, ((b"etag", b'"x"'),)),
            b"/m/length": lambda: Answer(200, (), length=7),
            b"/m/away": made.of(Unavailable("S3 is away"), length=7),
            b"/m/bug": made.of(RuntimeError("a bug"), length=7),
            b"/m/denied": Unavailable("S3 is away", retry_after_s=3),
            b"/m/short": made.of(b"abc", length=7),
            b"/m/long": made.of(b"abc", b"defghi", length=7),
            b"/m/raises": made.of(b"abc", Truncated("S3 broke off"), length=7),
            b"/m/waits": made.of(b"abc", trio.Event(), length=7),
            b"/m/silent": made.of(trio.Event(), length=7),
            b"/m/endless": made.of(*[bytes(1 << 20)] * 64),
        }
    )


@pytest.fixture
async def planes(tmp_path: Path, mount: FakeMount) -> AsyncIterator[Planes]:
    # A second: what a client that takes nothing is given.
    places = [Place("", "/m/", mount), Place("site.test", "/", mount)]
    async with both_planes(tmp_path, places, write_timeout_s=1.5) as planes:
        yield planes


TABLE = (
    *(("GET", f"/m/ready/{size}") for size in SIZES),
    *(("GET", f"/m/bytes/{size}") for size in SIZES),
    *(("HEAD", f"/m/bytes/{size}") for size in SIZES),
    *(("GET", "/m/blocks"), ("HEAD", "/m/blocks"), ("GET", "/m/empty"), ("GET", "/m/partial")),
    *(("GET", "/m/304"), ("GET", "/m/204"), ("HEAD", "/m/304"), ("GET", "/m/304r")),
    *(("HEAD", "/m/length"), ("GET", "/m/away"), ("GET", "/m/bug"), ("GET", "/m/denied")),
    *(("HEAD", "/m/denied"), ("GET", "/m"), ("DELETE", "/n/x"), ("GET", "/m/other?x")),
)


@pytest.mark.parametrize(("method", "target"), TABLE, ids=[" ".join(each) for each in TABLE])
async def test_all_planes_give_the_same_answer(
    planes: Planes, made: Made, method: str, target: str
) -> None:
    edge = await ask(planes, "edge", method, target)
    for way in WAYS[1:]:
        assert await ask(planes, way, method, target) == edge
    assert [name for name, _ in edge.headers][-2:] == [b"x-request-id", b"date"]
    assert (b"content-length" in dict(edge.headers)) == (edge.status not in (204, 304))
    await until_closed(made.contents)
    assert planes.plane.connections().truncated == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_host_of_its_own(planes: Planes, way: str) -> None:
    here = await ask(planes, way, "GET", "/status", host=b"SITE.test:80")
    assert here.body == b"at /status"
    assert (await ask(planes, way, "GET", "/status")).body == b"ok"


@pytest.mark.parametrize("way", WAYS)
async def test_a_large_file_arrives_whole(planes: Planes, made: Made, file: Path, way: str) -> None:
    answer = await ask(planes, way, "GET", "/m/large")
    with file.open("rb") as opened:
        expected = hashlib.file_digest(opened, "sha256").digest()
    assert hashlib.sha256(answer.body).digest() == expected
    await until_closed(made.contents)


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_connection_goes_on_behind_a_stream(planes: Planes, way: str) -> None:
    async with http_1(planes, way) as connection:
        for _ in range(2):
            await connection.send("GET", "/m/blocks")
            await connection.send("HEAD", "/m/large")
            await connection.send("GET", "/m/large")
            await connection.send("GET", "/b/k")
            first = await connection.answer("GET")
            assert first.body.startswith(b"onetwo")
            head = await connection.answer("HEAD")
            assert dict(head.headers)[b"content-length"] == b"%d" % LARGE
            assert len((await connection.answer("GET")).body) == LARGE
            assert (await connection.answer("GET")).status == 302


@pytest.mark.parametrize("way", HTTP_1)
async def test_requests_byte_by_byte(planes: Planes, way: str) -> None:
    async with http_1(planes, way) as connection:
        for byte in b"GET /m/blocks HTTP/1.1\r\nHost: t\r\n\r\n":
            await connection.stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await connection.answer("GET")).body.startswith(b"onetwo")


@pytest.mark.parametrize("target", ["/m/short", "/m/long", "/m/raises"])
@pytest.mark.parametrize("way", HTTP_1)
async def test_what_does_not_end_well_never_looks_whole(
    planes: Planes, made: Made, way: str, target: str
) -> None:
    async with http_1(planes, way) as connection:
        await connection.send("GET", target)
        with pytest.raises((trio.BrokenResourceError, EOFError)):  # noqa: PT012
            await connection.send("GET", "/b/k")
            while True:
                await connection.answer("GET")
    await until_closed(made.contents)
    assert planes.plane.connections().truncated == 1


@pytest.mark.parametrize("target", ["/m/short", "/m/long", "/m/raises"])
async def test_in_http_2_it_costs_its_stream(planes: Planes, made: Made, target: str) -> None:
    async with http_2(planes) as client:
        answer = await client.ask(fields_of("GET", target))
        assert (answer.status, answer.ended, answer.reset) == (200, False, INTERNAL_ERROR)
        assert (await client.ask(fields_of("GET", "/m/blocks"))).ended
    await until_closed(made.contents)
    assert planes.plane.connections().truncated == 1


@pytest.mark.parametrize("target", ["/m/waits", "/m/silent", "/m/endless"])
@pytest.mark.parametrize("way", HTTP_1)
async def test_a_client_that_leaves_lets_the_content_go(
    planes: Planes, made: Made, way: str, target: str
) -> None:
    async with http_1(planes, way) as connection:
        await connection.send("GET", target)
        await until(lambda: made.contents and made.contents[-1].reads)
    await until_closed(made.contents)
    status = 499 if target == "/m/silent" else 200
    await until(lambda: [each for each in planes.traffic.requests() if each[1] == status])


async def test_a_client_that_resets_its_stream_lets_the_content_go(
    planes: Planes, made: Made
) -> None:
    async with http_2(planes) as client:
        number = client.begin(fields_of("GET", "/m/waits"))
        await client.flush()
        while not client.answers[number].body:
            await client.receive()
        client.h2.reset_stream(number)
        await client.flush()
        await until_closed(made.contents)
        assert (await client.ask(fields_of("GET", "/m/blocks"))).ended


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_client_that_takes_nothing_is_given_up(
    planes: Planes, made: Made, way: str
) -> None:
    async with http_1(planes, way) as connection:
        await connection.send("GET", "/m/endless")
        await until(lambda: made.contents)
        await until_closed(made.contents)
    (content,) = made.contents
    assert content.reads < 64  # kept by the kernel, not by us


@pytest.mark.parametrize("window", ["the stream's", "the connection's", "TCP's"])
async def test_in_http_2_too(planes: Planes, made: Made, window: str) -> None:
    async with http_2(planes) as client:
        if window != "the stream's":
            client.h2.update_settings({4: 1 << 30})  # INITIAL_WINDOW_SIZE
        if window == "TCP's":
            client.h2.increment_flow_control_window(1 << 30)
        number = client.begin(fields_of("GET", "/m/endless"))
        await client.flush()
        await until(lambda: made.contents)
        assert window == "TCP's" or (await client.answer(number)).reset == CANCEL
        await until_closed(made.contents)
    (content,) = made.contents
    assert content.reads < (64 if window == "TCP's" else 3)


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_client_that_takes_it_slowly_is_not_given_up(
    planes: Planes, made: Made, way: str
) -> None:
    """Slower than the kernel's buffer has room again within the time-out."""
    async with http_1(planes, way) as connection:
        connection.take_little(64 << 10)
        await connection.send("GET", "/m/endless")
        await until(lambda: made.contents)
        for _ in range(16):
            while len(connection.received) < 65_536:
                await connection.more()
            connection.received.clear()
            await trio.sleep(0.25)
        assert not made.contents[0].closed.is_set()
    await until_closed(made.contents)
