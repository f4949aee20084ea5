"""One end of the stream between the parent and a worker.

Whoever reads never writes and waits: a reader only hands on, so that two full ends can never wait
for each other. What is written goes through a queue and leaves in as few writes as the stream
allows. `post` never waits and is for what is bounded by something else (an answer by its question);
`send` waits while the other side does not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import msgspec
import trio

from parparchik.errors import Unavailable
from parparchik.server.workers.faults import from_message
from parparchik.server.workers.frames import BrokenFrame, FrameReader, frame
from parparchik.server.workers.messages import Failed

HIGH_WATER_BYTES = 1024 * 1024
"""More than that unsent, and `send` waits."""

CALLS_MAX = 256
"""Questions without an answer yet; further ones wait with whoever asks them."""

_RECEIVE_BYTES = 65_536


class Answer(Protocol):
    @property
    def id(self) -> int: ...


_Answer = TypeVar("_Answer", bound=Answer)


class _Call:
    __slots__ = ("answer", "answered")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.answer: Answer | None = None


class Channel:
    """`messages` is the union of what the other side sends, `answers` those of it that answer a
    call of ours."""

    def __init__(
        self, stream: trio.abc.Stream, messages: object, answers: tuple[type, ...] = ()
    ) -> None:
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder(messages).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._answers = (*answers, Failed)
        self._unsent = bytearray()
        self._wake = trio.Event()
        self._taken = trio.lowlevel.ParkingLot()
        self._calls: dict[int, _Call] = {}
        self._slots = trio.Semaphore(CALLS_MAX)
        self._last_id = 0
        self.closed = False

    # -- writing ------------------------------------------------------------------------------

    def post(self, message: msgspec.Struct) -> None:
        """Queue `message`; does nothing once the channel is closed."""
        if not self.closed:
            self._unsent += frame(self._encode(message))
            self._wake.set()

    async def drained(self) -> None:
        """Returns when little is unsent, or the channel is closed."""
        while len(self._unsent) > HIGH_WATER_BYTES and not self.closed:
            await self._taken.park()
        await trio.lowlevel.checkpoint_if_cancelled()

    async def send(self, message: msgspec.Struct) -> None:
        """`post`, after waiting until there is room."""
        await self.drained()
        self.post(message)

    async def flush(self) -> None:
        """Returns when everything has been given to the kernel, or the channel is closed."""
        while self._unsent and not self.closed:
            await self._taken.park()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._unsent:
                data = bytes(self._unsent)
                await self._stream.send_all(data)
                del self._unsent[: len(data)]
                self._taken.unpark_all()

    # -- asking -------------------------------------------------------------------------------

    async def call(self, kind: type[_Answer], ask: Callable[[int], msgspec.Struct]) -> _Answer:
        """Send the question that `ask` makes of an id; returns its answer. Raises what the other
        side answers with, and Unavailable when the channel is closed."""
        async with self._slots:
            self._last_id += 1
            number = self._last_id
            call = self._calls[number] = _Call()
            try:
                self.post(ask(number))
                if not self.closed:
                    await call.answered.wait()
            finally:
                del self._calls[number]
        if call.answer is None:
            raise Unavailable("the parent process is gone")
        if isinstance(call.answer, Failed):
            raise from_message(call.answer)
        if not isinstance(call.answer, kind):
            raise BrokenFrame(f"{type(call.answer).__name__} is no answer to this question")
        return call.answer

    def _settle(self, answer: Answer) -> None:
        call = self._calls.get(answer.id)
        if call is not None:  # else whoever asked has left
            call.answer = answer
            call.answered.set()

    # -- reading ------------------------------------------------------------------------------

    async def run(self, handle: Callable[[msgspec.Struct], object]) -> None:
        """Write what is queued, and give `handle` every message that is no answer, until the
        other side closes or breaks the stream; then closes it. Raises BrokenFrame."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_until_broken)
                await self._read(handle)
                nursery.cancel_scope.cancel()
        finally:
            self.close()
            await trio.aclose_forcefully(self._stream)

    async def _write_until_broken(self) -> None:
        try:
            await self._write()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # What the other side said before it ended is still to be read: calls may be answered.
            self._stop_writing()

    async def _read(self, handle: Callable[[msgspec.Struct], object]) -> None:
        frames = FrameReader()
        while True:
            try:
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            for payload in frames.feed(data):
                try:
                    message = self._decode(payload)
                except msgspec.DecodeError as error:
                    raise BrokenFrame(str(error)) from None
                if isinstance(message, self._answers):
                    self._settle(cast("Answer", message))
                else:
                    handle(message)

    def close(self) -> None:
        """Nothing is sent any more; whoever waits for an answer is told that none will come."""
        self._stop_writing()
        for call in self._calls.values():
            call.answered.set()

    def _stop_writing(self) -> None:
        self.closed = True
        self._unsent.clear()
        self._taken.unpark_all()
