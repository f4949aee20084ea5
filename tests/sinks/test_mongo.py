"""MongoDB's wire protocol: what arrives at a server that speaks as much of it as is needed."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bson
import trio

from parparchik.access import Observation
from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.sinks import Sinks
from tests.sinks.scene import PATIENCE_S

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
SEEN = Observation("GET", "/ü?x=1", 404, "text/html", False, 12)
Document = dict[str, Any]


class FakeMongo:
    """`inserts` are the commands, each with its documents; `answers` stand for the next answers to
    them, None for breaking the connection before one."""

    def __init__(self, *answers: Document | None) -> None:
        self.inserts: list[Document] = []
        self.answers = list(answers)
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, self._handle, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            buffer = b""
            async for piece in stream:
                buffer += piece
                while len(buffer) >= 4 and len(buffer) >= (
                    size := int.from_bytes(buffer[:4], "little")
                ):
                    message, buffer = buffer[:size], buffer[size:]
                    answer = self._answer(message)
                    if answer is None:
                        return
                    await stream.send_all(answer)

    def _answer(self, message: bytes) -> bytes | None:
        _, number, _, opcode = struct.unpack_from("<iiii", message)
        if opcode == OP_QUERY:
            body = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello())
            return self._message(number, OP_REPLY, body)
        assert opcode == OP_MSG
        command = read_message(message[16:])
        answer: Document | None = {"ok": 1}
        if "hello" in command or "ismaster" in command or "isMaster" in command:
            answer = self._hello()
        elif "insert" in command:
            self.inserts.append(command)
            answer = {"ok": 1, "n": len(command["documents"])}
            if self.answers:
                answer = self.answers.pop(0)
        if answer is None:
            return None
        return self._message(number, OP_MSG, struct.pack("<IB", 0, 0) + bson.encode(answer))

    @staticmethod
    def _hello() -> Document:
        return {
            "ok": 1,
            "isWritablePrimary": True,
            "ismaster": True,
            "helloOk": True,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "maxWriteBatchSize": 100_000,
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000,
        }

    @staticmethod
    def _message(answers: int, opcode: int, body: bytes) -> bytes:
        return struct.pack("<iiii", 16 + len(body), 1, answers, opcode) + body


def read_message(body: bytes) -> Document:
    """The command of an OP_MSG, with the documents of its sequences."""
    command: Document = {}
    at = 4
    while at < len(body):
        kind, at = body[at], at + 1
        size = int.from_bytes(body[at : at + 4], "little")
        section, at = body[at : at + size], at + size
        if kind == 0:
            command |= bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents)
    return command


async def insert(server: FakeMongo, sinks: Sinks, requests: int, until: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sinks.run)
        for number in range(requests):
            sinks.observe(SEEN, 0.001, f"203.0.113.{number}")
        with trio.fail_after(PATIENCE_S):
            while not getattr(sinks.statistics()[0], until):  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


def sinks_for(server: FakeMongo) -> Sinks:
    config = SinkConfig(
        "mongodb",
        f"mongodb://127.0.0.1:{server.port}/",
        name="hits",
        database="web",
        flush_s=0.01,
        timeout_s=5.0,
    )
    return Sinks(SinksConfig((config,)), now_ns=lambda: 1_700_000_000_123_000_000)


async def test_a_document_a_request() -> None:
    server = FakeMongo()
    async with server.running():
        sinks = sinks_for(server)
        await insert(server, sinks, 3, "sent")
    assert sinks.statistics()[0].sent == 3
    command = server.inserts[0]
    assert (command["insert"], command["$db"], command["ordered"]) == ("hits", "web", False)
    documents = command["documents"]
    assert [each.pop("ipaddress") for each in documents] == [f"203.0.113.{n}" for n in range(3)]
    assert len({each.pop("_id") for each in documents}) == 3
    document = documents[0]
    assert document.pop("timestamp").isoformat() == "2023-11-14T22:13:20.123000"
    assert document == {
        "method": "GET",
        "resource": "/ü",
        "mimeType": "text/html",
        "size": 12,
        "time": 1_000_000,
        "status": 404,
        "compressed": False,
    }


async def test_what_is_sent_again_is_not_there_twice() -> None:
    duplicate = {"index": 0, "code": 11000, "errmsg": "E11000 duplicate key"}
    server = FakeMongo(None, {"ok": 1, "n": 0, "writeErrors": [duplicate]})
    async with server.running():
        sinks = sinks_for(server)
        await insert(server, sinks, 1, "sent")
    assert len(server.inserts) == 2
    ids = {command["documents"][0]["_id"] for command in server.inserts}
    assert len(ids) == 1
    statistics = sinks.statistics()[0]
    assert (statistics.sent, statistics.refused, statistics.failures) == (1, 0, 1)


async def test_a_document_that_is_refused_is_not_sent_again() -> None:
    error = {"index": 0, "code": 121, "errmsg": "Document failed validation"}
    server = FakeMongo({"ok": 1, "n": 0, "writeErrors": [error]})
    async with server.running():
        sinks = sinks_for(server)
        await insert(server, sinks, 1, "refused")
    assert len(server.inserts) == 1
