"""A stream of text over TCP: InfluxDB's line protocol, or Akumuli's."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

import structlog
import trio

from parparchik.sinks.destination import SinkFailed
from parparchik.sinks.measurement import Measurement

_MOST_SAID_BYTES = 4096

log = structlog.get_logger(__name__)


class TCPDestination:
    """Nobody acknowledges what is sent, so what was under way when a connection broke may be lost.
    `encode` makes a batch."""

    def __init__(
        self, host: str, port: int, encode: Callable[[Sequence[Measurement]], bytes]
    ) -> None:
        self._host = host
        self._port = port
        self._encode = encode
        self._stream: trio.SocketStream | None = None

    def prepare(self, measurements: Sequence[Measurement]) -> bytes:
        return self._encode(measurements)

    async def send(self, batch: bytes) -> None:
        try:
            if self._stream is not None:
                await self._listen(self._stream)
            if self._stream is None:
                self._stream = await trio.open_tcp_stream(self._host, self._port)
            await self._stream.send_all(batch)
        except (OSError, trio.BrokenResourceError) as error:
            self._drop()
            raise SinkFailed(f"TCP: {error}") from error
        except BaseException:
            # A batch that was cut has to be the last thing on its connection.
            self._drop()
            raise

    async def aclose(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.aclose()

    async def _listen(self, stream: trio.SocketStream) -> None:
        """What the other side has to say, which is either a complaint or that it is going: without
        asking, a write to a connection that is closed already would look like a success."""
        poll = select.poll()
        poll.register(stream.socket.fileno(), select.POLLIN)
        while poll.poll(0):
            said = await stream.receive_some(_MOST_SAID_BYTES)
            if not said:
                self._drop()
                return
            log.warning("sink complains", host=self._host, said=said.decode("utf-8", "replace"))

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None
