"""Bodies whose length nobody knows before they end: whole on every plane, or visibly not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from parparchik.errors import Truncated, Unavailable
from parparchik.model import Answer, Block
from parparchik.web import Place
from tests.e2e.byte_clients import (
    HTTP_1,
    WAYS,
    Fields,
    Given,
    Http1,
    ask,
    fields_of,
    given,
    http_1,
    http_2,
)
from tests.e2e.hostile import Planes, both_planes
from tests.mounts import Blocks, FakeMount, until_closed

LONG = bytes(range(256)) * 1000
KIND = (b"content-type", b"text/plain")


class Made:
    def __init__(self) -> None:
        self.contents: list[Blocks] = []

    def of(self, *blocks: Block | trio.Event | Exception) -> Answer:
        self.contents.append(Blocks(blocks))
        return Answer(200, (KIND,), kind="m", content=self.contents[-1], open_ended=True)


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
async def planes(tmp_path: Path, made: Made) -> AsyncIterator[Planes]:
    mount = FakeMount(
        {
            b"/m/blocks": lambda: made.of(b"one", b"", b"two", LONG, memoryview(b"xyz")[:1]),
            b"/m/empty": made.of,
            b"/m/away": lambda: made.of(Unavailable("S3 is away")),
            b"/m/raises": lambda: made.of(b"abc", Truncated("S3 broke off")),
        }
    )
    async with both_planes(tmp_path, [Place("", "/m/", mount)]) as planes:
        yield planes


async def answer(connection: Http1) -> Given:
    """The next, its chunks put together (RFC 9112 section 7.1.3)."""
    line, headers = await connection.head()
    body = bytearray()
    while True:
        while b"\r\n" not in connection.received:
            await connection.more()
        size, _, rest = bytes(connection.received).partition(b"\r\n")
        connection.received = bytearray(rest)
        length = int(size, 16)
        while len(connection.received) < length + 2:
            await connection.more()
        body += connection.received[:length]
        assert connection.received[length : length + 2] == b"\r\n"
        connection.received = connection.received[length + 2 :]
        if not length:
            return given(int(line.split(b" ")[1]), lowered(headers), bytes(body))


def lowered(fields: Fields) -> Fields:
    """h11 writes some names with capitals."""
    return tuple((name.lower(), value) for name, value in fields)


@pytest.mark.parametrize(("target", "body"), [("blocks", b"onetwo" + LONG + b"x"), ("empty", b"")])
async def test_it_is_whole_on_every_plane_and_the_connection_goes_on(
    planes: Planes, made: Made, target: str, body: bytes
) -> None:
    answers = []
    for way in HTTP_1:
        async with http_1(planes, way) as connection:
            await connection.send("GET", f"/m/{target}")
            await connection.send("GET", "/b/k")
            answers.append(await answer(connection))
            assert (await connection.answer("GET")).status == 302
    assert answers[0].body == body
    assert answers == [answers[0]] * len(HTTP_1)
    names = [name for name, _ in answers[0].headers]
    assert names == [b"content-type", b"x-request-id", b"date", b"transfer-encoding"]
    in_http_2 = await ask(planes, "h2", "GET", f"/m/{target}")
    assert in_http_2.body == body
    assert not {b"content-length", b"transfer-encoding"} & dict(in_http_2.headers).keys()
    await until_closed(made.contents)


@pytest.mark.parametrize("way", HTTP_1)
async def test_where_the_connection_ends(planes: Planes, way: str) -> None:
    close = ((b"Connection", b"close"),)
    async with http_1(planes, way) as connection:
        await connection.send("GET", "/m/blocks", close)
        found = await answer(connection)
        assert [name for name, _ in found.headers][-2:] == [b"transfer-encoding", b"connection"]


async def test_a_head_has_the_same_fields(planes: Planes, made: Made) -> None:
    first = await ask(planes, "edge", "HEAD", "/m/blocks")
    assert dict(first.headers)[b"transfer-encoding"] == b"chunked"
    for way in HTTP_1[1:]:
        other = await ask(planes, way, "HEAD", "/m/blocks")
        assert other._replace(headers=lowered(other.headers)) == first
    assert (await ask(planes, "h2", "HEAD", "/m/blocks")).status == 200
    await until_closed(made.contents)


@pytest.mark.parametrize("way", WAYS)
async def test_what_fails_before_it_begins_is_told(planes: Planes, way: str) -> None:
    assert (await ask(planes, way, "GET", "/m/away")).status == 503


@pytest.mark.parametrize("way", HTTP_1)
async def test_what_breaks_off_does_not_look_whole(planes: Planes, made: Made, way: str) -> None:
    async with http_1(planes, way) as connection:
        await connection.send("GET", "/m/raises")
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await answer(connection)
    await until_closed(made.contents)
    assert planes.plane.connections().truncated == 1


async def test_in_http_2_it_costs_its_stream(planes: Planes, made: Made) -> None:
    async with http_2(planes) as client:
        client.takes = True
        found = await client.ask(fields_of("GET", "/m/raises"))
        assert (found.status, found.ended) == (200, False)
        assert (await client.ask(fields_of("GET", "/m/blocks"))).ended
    await until_closed(made.contents)
