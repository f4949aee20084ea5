"""HTTP/2 as Hypercorn speaks it, for many clients behind one proxy and for clients that mean harm.

One connection may carry the requests of many, so a bad one costs its stream and not the connection:
each is judged in its HTTP/1.1 form, by the judge of HTTP/1.1, and refused with the same answer. And
one connection must not cost the others anything:

- a stream that its client resets goes on costing what it has begun; while too many of these are at
  work, the connection is not read;
- whoever resets many more streams than are answered is cut off (CVE-2023-44487);
- frames are taken in small portions, and others run in between;
- a stream whose client grants no window for its answer is reset after the write time-out;
- priorities are not followed: RFC 9113 has given them up, and they are memory that clients fill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
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

from parparchik.edge import Judge, Refusal, refuse
from parparchik.server.context import Context

MAX_STREAMS = 100
"""Open at once on one connection: what the client is told, and must keep to."""

MAX_AT_WORK = 2 * MAX_STREAMS
"""Apps that work for one connection, streams included that it has reset."""

MAX_RESETS = 1_000
"""How many more streams a client may reset than are answered."""

PORTION_BYTES = 4_096

GOING_AWAY = bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + (2**31 - 1).to_bytes(4, "big") + bytes(4)
"""A GOAWAY that names the highest stream there can be: the client is to open no more, and whatever
is on its way is still answered (RFC 9113 section 6.8). h2's own would end the connection."""

_PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_OF_CONNECTIONS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_regular_name = re.compile(rb"[^A-Z:\x00-\x20\x7f-\xff]+")
_never_in_a_value = re.compile(rb"[\r\n\x00]|\A[ \t]|[ \t]\Z")

MALFORMED = Refusal(400, "malformed header field")


def refusal_of(fields: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Why a request with these fields, pseudo-fields first, is not to be answered. RFC 9113
    section 8.2 and 8.3; for the rest it is what it would be in HTTP/1.1."""
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    for name, value in fields:
        if _never_in_a_value.search(value):
            return MALFORMED
        if name.startswith(b":"):
            if lines or name in pseudo or name not in _PSEUDO_FIELDS:
                return Refusal(400, "bad pseudo-header field")
            pseudo[name] = value
        elif (
            _regular_name.fullmatch(name) is None
            or name in _OF_CONNECTIONS
            or (name == b"te" and value != b"trailers")
        ):
            return MALFORMED
        elif name != b"host" or b":authority" not in pseudo:
            lines.append(name + b": " + value)
        elif value != pseudo[b":authority"]:
            return Refusal(400, "repeated Host")
    if not {b":method", b":scheme", b":path"} <= pseudo.keys():
        return Refusal(400, "bad pseudo-header field")
    if b":authority" in pseudo:
        lines.append(b"host: " + pseudo[b":authority"])
    if not pseudo[b":path"].startswith((b"/", b"*")):
        return Refusal(400, "bad request target")
    # A tunnel's request has a path here; in HTTP/1.1 that is a GET with an Upgrade.
    method = b"GET" if b":protocol" in pseudo else pseudo[b":method"]
    line = b"%b %b HTTP/1.1" % (method, pseudo[b":path"])
    return Judge().feed(b"\r\n".join((line, *lines, b"", b""))).refusal


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
        self._ask_app, self.app = self.app, cast("Any", self._count_app)
        self._at_work = 0
        self._made_room = trio.lowlevel.ParkingLot()
        self._resets = 0
        self._patience: dict[int, trio.CancelScope] = {}

    async def _count_app(self, *arguments: Any) -> None:
        self._at_work += 1
        try:
            await self._ask_app(*arguments)
        finally:
            self._at_work -= 1
            self._made_room.unpark_all()

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
            case h2.events.DataReceived() if event.stream_id not in self.streams:
                self._discard(event)
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
        if not isinstance(event, Body | EndBody):
            if isinstance(event, StreamClosed) and event.stream_id in self.streams:
                self._resets = max(self._resets - 1, 0)  # answered, not reset
            await super().stream_send(event)
            return
        number = event.stream_id
        with trio.move_on_after(self.context.house.settings.write_timeout_s) as patience:
            self._patience[number] = patience
            await super().stream_send(event)
        del self._patience[number]
        if patience.cancelled_caught:
            self.context.house.timed_out["write"] += 1
            self._reset(number, h2.errors.ErrorCodes.CANCEL)
            await self._close_stream(number)
            await self._window_updated(number)  # wakes who clears up behind it
            await self._flush()

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        before = len(buffer.buffer) if buffer else 0
        await super()._send_data(stream_id)
        patience = self._patience.get(stream_id)
        if buffer and patience and len(buffer.buffer) < before:
            patience.deadline = trio.current_time() + self.context.house.settings.write_timeout_s
