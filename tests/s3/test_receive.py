"""Receiving the head of an answer on the reactor, which says only once that something has come."""

from __future__ import annotations

import socket

import pytest
import trio

from parparchik.s3.connection import PlainConnection
from parparchik.s3.limit import UNLIMITED
from parparchik.s3.reactor import Reactor
from parparchik.s3.receive import receive_head_within
from parparchik.s3.response import ResponseParser
from tests.s3.scripted import OK


class InPieces(PlainConnection):
    """What has arrived at once is given out in pieces, as TLS does with its records."""

    def __init__(self, connected: socket.socket, step: int) -> None:
        super().__init__(connected)
        self._step = step
        self._left = b""

    def receive_nowait(self) -> bytes | None:
        if not self._left:
            arrived = super().receive_nowait()
            if not arrived:
                return arrived
            self._left = arrived
        piece, self._left = self._left[: self._step], self._left[self._step :]
        return piece


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_all_that_has_arrived_is_read(nursery: trio.Nursery, step: int) -> None:
    reactor = Reactor()
    await nursery.start(reactor.run)
    ours, peer = socket.socketpair()
    connection = InPieces(ours, step)
    parser = ResponseParser(to_head=False)
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    with trio.fail_after(5):
        await receive_head_within(connection, parser, 60.0, reactor, UNLIMITED)
    assert parser.status == 200
    connection.close()
    peer.close()
