"""HTTP/2 as Hypercorn speaks it, for many clients behind one proxy and for clients that mean harm.

One connection may carry the requests of many, so a bad one costs its stream and not the connection:
each is judged in its HTTP/1.1 form, by the judge of HTTP/1.1, and refused with the same answer. And
one connection must not cost the others anything:

- a stream that its client resets goes on costing what it has begun; while too many of these are at
  work, the connection is not read;
- whoever resets many more streams than are answered is cut off (CVE-2023-44487);
- frames are taken in small portions, and others run in between;
- a stream whose client grants no window for its answer is reset after the write time-out;
- a body that nobody takes stays in its stream's own inbox, and its client is granted no more;
- priorities are not followed: RFC 9113 has given them up, and they are memory that clients fill.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, cast

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, EndBody, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol

from parparchik.edge import Refusal, refuse
from parparchik.server.context import Context
from parparchik.server.http2_fields import refusal_of
from parparchik.server.inbox import Inbox
from parparchik.server.outbox import Outbox
from parparchik.web import CONTINUE, GoAhead

MAX_STREAMS = 100
"""Open at once on one connection: what the client is told, and must keep to."""

MAX_AT_WORK = 2 * MAX_STREAMS
"""Apps that work for one connection, streams included that it has reset."""

MAX_RESETS = 1_000
"""How many more streams a client may reset than are answered."""

PORTION_BYTES = 4_096

GRANT_BYTES = 16_384
"""Of the connection's window, granted at a time."""

GOING_AWAY = bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + (2**31 - 1).to_bytes(4, "big") + bytes(4)
"""A GOAWAY that names the highest stream there can be: the client is to open no more, and whatever
is on its way is still answered (RFC 9113 section 6.8). h2's own would end the connection."""


class _Connection(h2.connection.H2Connection):
    MAX_CLOSED_STREAMS = 1_000
    """Remembered of each connection; h2 has 65,536, some megabytes."""


class H2(H2Protocol):
    """`context.terminated`: streams that begin from then on are refused, for the client to send
    them elsewhere; those under way go on."""

    context: Context

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        theirs = self.connection
        theirs.config.validate_inbound_headers = False  # h2 would end the connection
        self.connection = _Connection(theirs.config)
        self.connection.local_settings = theirs.local_settings
        self._ask_app = self.app
        self._inboxes: dict[int, Inbox] = {}
        self._owed_bytes = 0  # of the connection's window
        self._upgraded = False
        self._at_work = 0
        self._made_room = trio.lowlevel.ParkingLot()
        self._resets = 0
        self._patience: dict[int, trio.CancelScope] = {}

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        self._upgraded = headers is not None
        await super().initiate(headers, settings)

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        number = request.stream_id
        inbox = self._inboxes[number] = Inbox(partial(self._grant, number))
        if self._upgraded and number == 1:
            inbox.end()
        expects = any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in request.headers
        )
        go_ahead = partial(self._go_ahead, number, inbox) if expects else None
        # Hypercorn gives the stream the app that is here now.
        self.app = cast("Any", partial(self._ask, inbox, go_ahead))
        await super()._create_stream(request)
        self.stream_buffers[number] = Outbox(self.context.event_class)  # nothing has run meanwhile

    async def _ask(
        self, inbox: Inbox, go_ahead: GoAhead | None, scope: Any, _receive: Any, *rest: Any
    ) -> None:
        if go_ahead is not None and scope["type"] == "http":
            scope["extensions"][CONTINUE] = go_ahead
        self._at_work += 1
        try:
            await self._ask_app(scope, cast("Any", inbox.receive), *rest)
        finally:
            self._at_work -= 1
            self._made_room.unpark_all()

    async def _go_ahead(self, number: int, inbox: Inbox) -> None:
        """Have the client send the body that it holds back (RFC 9110 section 10.1.1)."""
        if inbox.untouched:
            with suppress(h2.exceptions.ProtocolError):
                self.connection.send_headers(number, [(b":status", b"100")])
            await self._flush()

    async def _grant(self, number: int, size_bytes: int) -> None:
        with suppress(h2.exceptions.ProtocolError):  # it has ended meanwhile
            self.connection.increment_flow_control_window(size_bytes, number)
        await self._flush()

    async def announce_end(self) -> None:
        """Ask the client for no further streams; those under way, and on their way, go on."""
        await self.send(RawData(GOING_AWAY))

    async def say_goodbye(self) -> None:
        self.connection.close_connection()
        await self._flush()

    async def handle(self, event: Event) -> None:
        if not isinstance(event, RawData):
            await super().handle(event)
            # Nobody empties these any more; apps that go on would wait for it.
            for buffer in tuple(self.stream_buffers.values()):
                await buffer.close()
            self._made_room.unpark_all()
            return
        for start in range(0, len(event.data), PORTION_BYTES):
            if self.closed:
                return
            await super().handle(RawData(event.data[start : start + PORTION_BYTES]))
            await trio.lowlevel.checkpoint()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if self.closed:
                return
            if await self._concerns_hypercorn(event):
                await super()._handle_events([event])
        await self._flush()

    async def _concerns_hypercorn(self, event: h2.events.Event) -> bool:
        """False where it has been dealt with."""
        match event:
            case h2.events.RequestReceived():
                return await self._admits(event)
            case h2.events.DataReceived():
                await self._take(event)
                return False
            case h2.events.StreamEnded():
                if event.stream_id in self._inboxes:
                    self._inboxes[event.stream_id].end()
                return False
            case h2.events.StreamReset() if event.stream_id in self.streams:
                self._resets += 1
                if self._resets > MAX_RESETS:
                    await self._calm()
                    return False
            case h2.events.PriorityUpdated():
                return False
        return True

    async def _admits(self, request: h2.events.RequestReceived) -> bool:
        while self._at_work >= MAX_AT_WORK and not self.closed:
            await self._made_room.park()
        if self.context.terminated.is_set():
            # Which the client may safely send again.
            self._reset(request.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return False
        refusal = refusal_of(request.headers)
        if refusal is not None:
            self._refuse(request, refusal)
        return refusal is None

    def _refuse(self, request: h2.events.RequestReceived, refusal: Refusal) -> None:
        request_id = self.context.house.record(refusal, self.client)
        answer = refuse(refusal)
        fields = [
            *((b":status", b"%d" % answer.status), *answer.headers),
            *((b"content-length", b"%d" % len(answer.body)), (b"x-request-id", request_id)),
            *self.config.response_headers("h2"),
        ]
        number = request.stream_id
        if (b":method", b"HEAD") in request.headers:
            self.connection.send_headers(number, fields, end_stream=True)
        elif self.connection.local_flow_control_window(number) < len(answer.body):
            self._reset(number, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        else:
            self.connection.send_headers(number, fields)
            self.connection.send_data(number, answer.body, end_stream=True)

    async def _take(self, event: h2.events.DataReceived) -> None:
        number, data = event.stream_id, event.data or b""
        inbox = self._inboxes.get(number)
        if inbox is None:
            self._discard(event)
            return
        inbox.put(data)
        # The connection's window is for all of its streams: none may use it up for the others.
        self._owed_bytes += event.flow_controlled_length
        if self._owed_bytes >= GRANT_BYTES:
            with suppress(h2.exceptions.ProtocolError):  # the connection ends
                self.connection.increment_flow_control_window(self._owed_bytes)
            self._owed_bytes = 0
        padding_bytes = event.flow_controlled_length - len(data)
        if padding_bytes and event.stream_ended is None:
            await self._grant(number, padding_bytes)

    async def _close_stream(self, stream_id: int) -> None:
        inbox = self._inboxes.pop(stream_id, None)
        if inbox is not None:
            inbox.close()
        buffer = self.stream_buffers.get(stream_id)
        if buffer is not None:
            await buffer.close()  # an app that goes on must not wait for room in it
        await super()._close_stream(stream_id)

    def _discard(self, event: h2.events.DataReceived) -> None:
        """A body that goes on behind its answer: the client may stop (RFC 9113 section 8.1)."""
        self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if event.stream_id not in self.stream_buffers:  # the answer has been written
            self._reset(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with suppress(h2.exceptions.ProtocolError):  # it, or the connection, has ended meanwhile
            self.connection.reset_stream(stream_id, code)

    async def _calm(self) -> None:
        self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        await self._flush()
        await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Body | EndBody):
            await self._send_body(event)
        elif isinstance(event, StreamClosed) and event.stream_id in self.streams:
            self._resets = max(self._resets - 1, 0)  # answered, not reset
            buffer = self.stream_buffers.get(event.stream_id)
            if buffer is not None and not buffer.complete:
                # The app has left its answer unfinished: it must not look whole.
                self.context.house.truncated += 1
                await self._give_up(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            await super().stream_send(event)
        else:
            await super().stream_send(event)

    async def _send_body(self, event: Body | EndBody) -> None:
        number = event.stream_id
        with trio.move_on_after(self.context.house.settings.write_timeout_s) as patience:
            self._patience[number] = patience
            try:
                await super().stream_send(event)
            finally:
                del self._patience[number]
        if patience.cancelled_caught:
            self.context.house.timed_out["write"] += 1
            await self._give_up(number, h2.errors.ErrorCodes.CANCEL)

    async def _give_up(self, number: int, code: h2.errors.ErrorCodes) -> None:
        self._reset(number, code)
        # This runs in the app's task, which may end as soon as it hears of the stream's end.
        with trio.CancelScope(shield=True):
            await self._flush()
            await self._close_stream(number)
            await self._window_updated(number)  # wakes who clears up behind it

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        before = len(buffer.buffer) if buffer else 0
        await super()._send_data(stream_id)
        patience = self._patience.get(stream_id)
        if buffer and patience and len(buffer.buffer) < before:
            patience.deadline = trio.current_time() + self.context.house.settings.write_timeout_s
