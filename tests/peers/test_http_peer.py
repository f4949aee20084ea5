"""One request to a peer, on a real socket: what counts as its answer, and what does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from parparchik.config import CacheConfig
from parparchik.peers import Forget, Forgotten, PeerFailed, peer_problems
from parparchik.peers.asking import LARGEST_ANSWER_BYTES, HTTPPeer

KEY = "the-key-of-all-peers"
FORGET = Forget("me", [("b", "x/я")], [("b", "")])
GOOD = b'{"instance":"you","forgotten":3}'


def answer(body: bytes = GOOD, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Server:
    """Gives `answer` to every request; b'' is none, ever. `slowly`: a byte at a time."""

    url: str
    answer: bytes
    slowly: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        data = b""
        try:
            while more := await stream.receive_some():
                data += more
                head, end, body = data.partition(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                if not end or len(body) < size:
                    continue
                self.requests.append(data)
                data = b""
                if not self.answer:
                    await trio.sleep_forever()
                step = 1 if self.slowly else len(self.answer)
                for at in range(0, len(self.answer), step):
                    await stream.send_all(self.answer[at : at + step])
                if b"Connection: close" in self.answer:
                    break
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def server(data: bytes) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        one = Server(f"http://127.0.0.1:{port}", data)
        nursery.start_soon(trio.serve_listeners, one.serve, listeners)
        yield one
        nursery.cancel_scope.cancel()


async def ask(one: Server, **settings: object) -> Forgotten:
    peer = HTTPPeer(one.url, CacheConfig(peer_key=KEY, **settings))  # type: ignore[arg-type]
    try:
        return await peer(FORGET)
    finally:
        await peer.aclose()


async def test_a_request_and_its_answer() -> None:
    async with server(answer()) as one:
        assert await ask(one) == Forgotten("you", 3)
        head, _, body = one.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /cache/forget HTTP/1.1\r\n")
        assert f"authorization: bearer {KEY}".encode() in head.lower()
        assert json.loads(body) == {"sender": "me", "names": [["b", "x/я"]], "below": [["b", ""]]}


async def test_the_answer_may_come_a_byte_at_a_time() -> None:
    async with server(answer()) as one:
        one.slowly = True
        assert await ask(one) == Forgotten("you", 3)


async def test_a_connection_is_kept() -> None:
    async with server(answer()) as one:
        peer = HTTPPeer(one.url, CacheConfig())
        for _ in range(3):
            await peer(FORGET)
        await peer.aclose()
        assert (len(one.requests), one.connections) == (3, 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (answer(b"", "401 Unauthorized"), r"does not know the key \(401\)"),
        (answer(b"", "403 Forbidden"), r"takes no changes from other hosts \(403\)"),
        (answer(b"", "404 Not Found"), r"no cache of objects \(404\)"),
        (answer(b"", "503 Service Unavailable", "Retry-After: 1"), "answers with status 503"),
        (answer(b"", "302 Found", "Location: http://127.0.0.1:1/"), "answers with status 302"),
        (answer(b"{}"), "not that of parparchik"),
        (answer(b"<html>"), "not that of parparchik"),
        (answer(b"\xff"), "not that of parparchik"),
        (answer(b" " * LARGEST_ANSWER_BYTES + GOOD), "not that of parparchik"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + GOOD, "not that of parparchik"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 99\r\n\r\n" + GOOD, "."),
        (b"SSH-2.0-Connection: close\r\n", "."),
    ],
)
async def test_what_is_no_confirmation(data: bytes, why: str) -> None:
    async with server(data) as one:
        with pytest.raises(PeerFailed, match=why) as caught:
            await ask(one)
        assert KEY not in str(caught.value)


async def test_one_that_does_not_answer() -> None:
    async with server(b"") as one:
        with pytest.raises(PeerFailed, match=r"^no answer within 0\.05 s$"):
            await ask(one, peer_timeout_s=0.05)


async def test_one_that_is_not_there() -> None:
    async with server(answer()) as one:
        pass
    with pytest.raises(PeerFailed, match=r"\w"):
        await ask(one)


async def test_each_is_examined() -> None:
    async with server(answer()) as one, server(answer(b"", "401 Unauthorized")) as other:
        problems = await peer_problems(CacheConfig(peers=(one.url, other.url), peer_key=KEY))
        assert problems[0] == (one.url, None)
        assert problems[1][0] == other.url
        assert "401" in (problems[1][1] or "")
        body = one.requests[0].partition(b"\r\n\r\n")[2]
        assert json.loads(body) == {"sender": "", "names": [], "below": []}
