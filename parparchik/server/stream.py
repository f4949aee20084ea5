"""A client's TCP stream that stalls nobody and takes no answer back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

LINGER_S = 1.0

WRITE_SLICE_BYTES = 65_536


class GuardedStream(trio.abc.Stream):
    """`stream` with manners, for HTTP/1.1 and HTTP/2 as it is, for TLS below it.

    Reading begins with `read`: what another has read from the socket before. Writes end when the
    client has taken nothing for `stall_s`. Closing waits a moment for the client to close first,
    and reads what it still sends: closing on unread bytes would reset the connection, and the
    client might lose the last answer (RFC 9112 section 9.6).
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        on_client_gone: Callable[[], Awaitable[None]],
        *,
        stall_s: float,
        read: bytes = b"",
    ) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._on_client_gone = on_client_gone
        self._stall_s = stall_s
        self._read = read
        self.lingers_when_closed = True
        self._reading = False
        self._lingers = False
        self._client_is_done = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._lingers:
            await self._client_is_done.wait()  # another task is closing, and reads meanwhile
            return b""
        if self._read:
            await trio.lowlevel.checkpoint()
            cut = len(self._read) if max_bytes is None else max_bytes
            data, self._read = self._read[:cut], self._read[cut:]
            return data
        return await self._receive(max_bytes)

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        data: bytes | bytearray = b""
        self._reading = True
        try:
            data = await self._stream.receive_some(max_bytes)
            while data and self._lingers:
                data = await self._stream.receive_some(max_bytes)
        finally:
            self._reading = False
            if not data:
                self._client_is_done.set()
                await self._on_client_gone()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write `data`; BrokenResourceError when the client takes none of it for too long."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE_SLICE_BYTES):
            with trio.move_on_after(self._stall_s) as stall:
                await self._stream.send_all(view[start : start + WRITE_SLICE_BYTES])
            if stall.cancelled_caught:
                self.abort()
                raise trio.BrokenResourceError("the client has stopped reading")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        try:
            if self.lingers_when_closed and not (self._lingers or self._client_is_done.is_set()):
                self._lingers = True
                await self._stream.send_eof()
                with trio.move_on_after(LINGER_S):
                    if self._reading:  # by another task, which discards from now on
                        await self._client_is_done.wait()
                    else:
                        await self._receive(WRITE_SLICE_BYTES)
        except (trio.BrokenResourceError, trio.BusyResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._client_is_done.set()
            await self._stream.aclose()

    def abort(self) -> None:
        """Close at once; tasks that read or write here wake up with ClosedResourceError."""
        self.socket.close()
