"""HTTP/1.1 as Hypercorn speaks it, behind the judge of framing."""

from __future__ import annotations

import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast

import h11
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import H11SendableEvent

from parparchik.edge import Judge, Refusal, render_refusal
from parparchik.server.context import Context
from parparchik.web import CONTINUE

NO_HTTP2 = Refusal(505, "HTTP/2 is not spoken on plain connections")
LATE = Refusal(408, "request timeout")

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}


class NotHTTP1(Exception):
    """HTTP/2 has begun where it may not."""


class _Connection(h11.Connection):
    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """Not as far as Hypercorn knows, which would have the body come at once."""
        return False

    @property
    def awaits_go_ahead(self) -> bool:
        """Whether the client waits for a 100 before it sends its body (RFC 9110 section 10.1.1)."""
        return super().they_are_waiting_for_100_continue


class H11(H11Protocol):
    """Refusals are written when all before them has been answered."""

    context: Context
    connection: _Connection

    async def initiate(self) -> None:
        self.connection = _Connection(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )
        self._ask_app, self.app = self.app, cast("Any", self._ask)
        self._judge = Judge()
        self._refusal: Refusal | None = None
        self._refused = False
        self._began_s = time.perf_counter()

    @property
    def awaits_head(self) -> bool:
        """Whether a request's head has begun and not ended."""
        return self.stream is None and not self._judge.between_requests

    async def handle(self, event: Event) -> None:
        if not isinstance(event, RawData) or not event.data:
            await super().handle(event)
            return
        self._began_s = time.perf_counter()
        sound, refusal = self._judge.feed(event.data)
        if sound:
            try:
                await super().handle(RawData(sound))
            except NotHTTP1:
                refusal = NO_HTTP2
        self._refusal = refusal  # only now: before, h11 may have had requests left
        await self._refuse()

    async def give_up(self) -> None:
        """The head that has begun takes too long."""
        await self._write_refusal(LATE)

    async def stream_send(self, event: StreamEvent) -> None:
        if self._refused and not isinstance(event, StreamClosed):
            return  # the connection's last answer has been written
        # A body that was not asked for will not come, and nothing behind it can be told from it.
        ends = self.context.closing or self.connection.awaits_go_ahead
        if isinstance(event, Response) and ends:
            others = [field for field in event.headers if field[0] != b"connection"]
            event = replace(event, headers=[*others, (b"connection", b"close")])
        await super().stream_send(event)

    async def _ask(self, scope: Any, *arguments: Any) -> None:
        scope["extensions"][CONTINUE] = self._go_ahead
        await self._ask_app(scope, *arguments)

    async def _go_ahead(self) -> None:
        if self.connection.awaits_go_ahead:
            headers = self.config.response_headers("h11")
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=headers))

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        if isinstance(event, h11.Response | h11.InformationalResponse):
            event = type(event)(
                status_code=event.status_code,
                headers=event.headers,
                reason=_PHRASES.get(event.status_code, b""),  # else Hypercorn writes none
            )
        await super()._send_h11_event(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        if self.context.house.settings.h2c and not self.ssl:
            await super()._check_protocol(event)
        elif event.method == b"PRI" and event.http_version == b"2.0":
            raise NotHTTP1

    async def _create_stream(self, request: h11.Request) -> None:
        # There is no WebSocket here: whoever asks for one is answered in HTTP (RFC 9110
        # section 7.8). Hypercorn's own refusals keep the connection, and crash on what follows.
        fields = [field for field in request.headers if field[0] != b"upgrade"]
        if len(fields) != len(request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=fields,
                http_version=request.http_version,
            )
        await super()._create_stream(request)

    async def _maybe_recycle(self) -> None:
        if self.stream is not None and self.connection.our_state is h11.SEND_BODY:
            self.context.house.truncated += 1  # the app has left its answer unfinished
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
            seconds = time.perf_counter() - self._began_s
            request_id = self.context.house.record(refusal, self.client, seconds)
            await self.send(RawData(render_refusal(refusal, request_id, time.time())))
