"""Small files as filetracker's client sends them, and the load that sends and reads them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from itertools import count, islice
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from bench.load import (
    FILE_BYTES,
    Ask,
    BadPlan,
    Cycle,
    Deck,
    Expected,
    FilesPut,
    Plan,
    Sent,
    SmallFile,
    Target,
)
from bench.load.answer import shots
from tests.bench.scripted import fire_here, scripted

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-request-id: %032x\r\n\r\n"
NEW = FilesPut("/ft/files/new/{n}", 7)


@pytest.mark.parametrize("number", [0, 1, 16**32 - 1])
def test_a_file_is_what_it_is_said_to_be(number: int) -> None:
    file = SmallFile.of(number)
    content = gzip.decompress(file.gzip)
    assert len(content) == FILE_BYTES
    assert hashlib.sha256(content).hexdigest() == file.digest
    assert dict(file.sent().headers) == {
        "SHA256-Checksum": file.digest,
        "Content-Encoding": "gzip",
        "Logical-Size": str(FILE_BYTES),
    }


def test_each_number_is_another_file() -> None:
    assert len({SmallFile.of(number) for number in range(100)}) == 100


def test_a_deck_has_each_path_once_and_its_content_or_another() -> None:
    new = list(islice(NEW.deal(0, 1), 50))
    assert [urlsplit(ask.path).path for ask in new] == [f"/ft/files/new/{n}" for n in range(7, 57)]
    assert [ask.sent for ask in new] == [SmallFile.of(n).sent() for n in range(7, 57)]
    same = list(islice(FilesPut("/ft/files/same/{n}", content=3).deal(0, 1), 50))
    assert len({ask.path for ask in same}) == 50
    assert {ask.sent for ask in same} == {SmallFile.of(3).sent()}


def test_processes_share_the_numbers() -> None:
    dealt = [{ask.path for ask in islice(NEW.deal(process, 3), 20)} for process in range(3)]
    assert len(dealt[0] | dealt[1] | dealt[2]) == 60


def test_a_version_is_in_the_url_as_the_client_writes_it() -> None:
    [ask] = islice(NEW.deal(0, 1), 1)
    [version] = parse_qs(urlsplit(ask.path).query)["last_modified"]
    assert parsedate_to_datetime(version).year == 2026


@asynccontextmanager
async def storing(
    answer: Callable[[bytes, bytes], Awaitable[bytes]],
) -> AsyncIterator[Target]:
    """A server that is given head and body of each request."""

    async def serve(stream: trio.SocketStream) -> None:
        held = b""
        async with stream:
            while data := await stream.receive_some():
                held += data
                while b"\r\n\r\n" in held:
                    head, _, rest = held.partition(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                    size = int(length or 0)
                    if len(rest) < size:
                        break
                    held = rest[size:]
                    await stream.send_all(await answer(head, rest[:size]))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield Target("127.0.0.1", listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_what_is_put_comes_whole_with_what_describes_it() -> None:
    came: list[tuple[bytes, bytes]] = []

    async def answer(head: bytes, body: bytes) -> bytes:
        came.append((head, body))
        return HEAD % (0, len(came))

    async with storing(answer) as target:
        outcome = await fire_here(target, NEW, requests=20)
    assert (outcome.requests, outcome.errors) == (20, {})
    by_line = {head.split(b"\r\n")[0]: (head, body) for head, body in came}
    assert len(by_line) == 20
    for ask in islice(NEW.deal(0, 1), 20):
        head, body = by_line[f"PUT {ask.path} HTTP/1.1".encode()]
        assert isinstance(ask.sent, Sent)
        assert body == ask.sent.body
        for name, value in ask.sent.headers:
            assert f"\r\n{name}: {value}\r\n".encode() in head


def test_without_keep_alive_a_put_says_so() -> None:
    plan = Plan(Target("127.0.0.1", 9), NEW, keep_alive=False)
    [shot] = islice(shots(plan, 0, 1), 1)
    head, _, body = shot.request.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert head.endswith(b"\r\nContent-Length: %d" % len(body))


BODY = SmallFile.of(1).gzip
READ: Deck = Cycle((Ask("/ft/files/1", Expected(200, body=BODY)),))


def in_chunks(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        *(len(body), body),
    )


@pytest.mark.parametrize("framed", [lambda body: HEAD % (len(body), 1) + body, in_chunks])
@pytest.mark.parametrize("pieces", [1, 2, 100])
async def test_every_byte_of_every_answer_is_looked_at(
    framed: Callable[[bytes], bytes], pieces: int
) -> None:
    numbers = count()

    async def answer(_path: bytes, stream: trio.SocketStream) -> None:
        number = next(numbers)  # each fourth has another byte somewhere, its length is right
        wrong = bytearray(BODY)
        if number % 4 == 3:
            wrong[number * 37 % len(wrong)] ^= 1
        whole = framed(bytes(wrong))
        size = -(-len(whole) // pieces)
        for at in range(0, len(whole), size):
            await stream.send_all(whole[at : at + size])

    async with scripted(answer) as target:
        outcome = await fire_here(target, READ, requests=40, connections=1)
    assert (outcome.requests, outcome.errors) == (30, {"wrong body": 10})


async def test_files_are_not_put_over_http2() -> None:
    target = Target("127.0.0.1", 9, tls=True, http2=True)
    with pytest.raises(BadPlan, match="--http2"):
        next(shots(Plan(target, NEW), 0, 1))
