"""HTTP/1.1 and HTTP/2 as Hypercorn speaks them, with what they lack for living behind proxies.

See `hypercorn` for why and how Hypercorn's parts are used.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

import h11
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup

from parparchik.access import RequestIds
from parparchik.config.model import ServerConfig
from parparchik.edge import Judge, Refusal, render_refusal

NO_HTTP2 = Refusal(505, "HTTP/2 is not spoken on plain connections")

GOING_AWAY = bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + (2**31 - 1).to_bytes(4, "big") + bytes(4)
"""A GOAWAY that names the highest stream there can be: the client is to open no more, and whatever
is on its way is still answered (RFC 9113 section 6.8). h2's own would end the connection."""


class NotHTTP1(Exception):
    """HTTP/2 has begun where it may not."""


class Context(WorkerContext):
    """Hypercorn's context of a whole server is one connection's here: its `terminated` is how a
    connection is told to end when it is idle. `closing`: after its next answer."""

    def __init__(
        self, settings: ServerConfig, request_ids: RequestIds, refused: Counter[str]
    ) -> None:
        super().__init__(max_requests=None)
        self.settings = settings
        self.request_ids = request_ids
        self.refused = refused
        self.closing = False


@dataclass(frozen=True, slots=True)
class Addresses:
    """The two ends of a connection, as ASGI wants them."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    is_tls: bool


class H11(H11Protocol):
    """HTTP/1.1 behind the judge. Refusals are written when all before them has been answered."""

    context: Context

    async def initiate(self) -> None:
        self._judge = Judge()
        self._refusal: Refusal | None = None
        self._refused = False

    @property
    def awaits_head(self) -> bool:
        """Whether a request's head has begun and not ended."""
        return self.stream is None and not self._judge.between_requests

    async def handle(self, event: Event) -> None:
        if not isinstance(event, RawData) or not event.data:
            await super().handle(event)
            return
        sound, refusal = self._judge.feed(event.data)
        if sound:
            try:
                await super().handle(RawData(sound))
            except NotHTTP1:
                refusal = NO_HTTP2
        self._refusal = refusal  # only now: before, h11 may have had requests left
        await self._refuse()

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and self.context.closing:
            others = [field for field in event.headers if field[0] != b"connection"]
            event = replace(event, headers=[*others, (b"connection", b"close")])
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        if self.context.settings.h2c and not self.ssl:
            await super()._check_protocol(event)
        elif event.method == b"PRI" and event.http_version == b"2.0":
            raise NotHTTP1

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        await self._refuse()

    async def _refuse(self) -> None:
        """Write the refusal, if there is one and it is its turn: nothing is under way, or what is
        will never be whole and has not been answered."""
        unanswered = self.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        turn = self.stream is None or self.connection.their_state is h11.SEND_BODY
        if self._refusal is not None and unanswered and turn:
            await self._write_refusal(self._refusal)
            await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        await self._write_refusal(Refusal(status_code, HTTPStatus(status_code).phrase.lower()))

    async def _write_refusal(self, refusal: Refusal) -> None:
        if not self._refused:
            self._refused = True
            self.context.refused[refusal.reason] += 1
            request_id = self.context.request_ids.new()
            await self.send(RawData(render_refusal(refusal, request_id, time.time())))


class H2(H2Protocol):
    """HTTP/2 that takes its leave."""

    async def announce_end(self) -> None:
        """Ask the client for no further streams; those under way, and on their way, go on."""
        await self.send(RawData(GOING_AWAY))

    async def say_goodbye(self) -> None:
        self.connection.close_connection()
        await self._flush()


class Protocol:
    """What a connection speaks: decided by TLS (ALPN), or by how it begins."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: Context,
        task_group: TaskGroup,
        *,
        addresses: Addresses,
        send: Callable[[Event], Awaitable[None]],
        alpn: str | None,
    ) -> None:
        state = ConnectionState({})
        self._arguments = (
            *(app, config, context, task_group, state, addresses.is_tls),
            *(addresses.client, addresses.server, send),
        )
        self.spoken: H11 | H2 = H2(*self._arguments) if alpn == "h2" else H11(*self._arguments)

    async def initiate(self) -> None:
        await self.spoken.initiate()

    async def handle(self, event: Event) -> None:
        try:
            await self.spoken.handle(event)
        except H2ProtocolAssumedError as begun:
            await self._switch(begun.data)
        except H2CProtocolRequiredError as asked:
            await self._switch(asked.data, asked.headers, asked.settings)

    async def _switch(
        self,
        data: bytes,
        headers: list[tuple[bytes, bytes]] | None = None,
        settings: bytes | None = None,
    ) -> None:
        self.spoken = H2(*self._arguments)
        await self.spoken.initiate(headers, settings)
        if data:
            await self.spoken.handle(RawData(data))
