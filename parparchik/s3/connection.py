"""One connection to a server: bytes out, bytes in.

A plain connection is a non-blocking socket of the standard library, and a task waits for it only
when the kernel says that it would block: this is what makes an existence probe cheap. Above
`connect` nobody knows whether there is TLS on top, and the errors of the operating system and of
OpenSSL have become httpx's.

Time-outs are the callers' cancel scopes. A connection whose send or receive was cancelled or
failed is in an unknown state: whoever holds it closes it.
"""

from __future__ import annotations

import select
import socket
import ssl
from abc import ABC, abstractmethod

import httpx
import trio

RECEIVE_BYTES = 64 * 1024
BODY_RECEIVE_BYTES = 1024 * 1024  # of a large object; what it takes to wait for costs per piece


class Connection(ABC):
    """`exchanges` counts the responses that were read to their end; above 0, a failure may mean
    no more than that the server closed a connection that it had kept for long enough. The pool
    keeps `idle_since_s` (monotonic), the reactor `watched_by`."""

    __slots__ = ("exchanges", "idle_since_s", "watched_by")

    def __init__(self) -> None:
        self.exchanges = 0
        self.idle_since_s = 0.0
        self.watched_by: object = None

    @abstractmethod
    def fileno(self) -> int:
        """Of its socket."""

    @abstractmethod
    async def send(self, data: bytes | memoryview) -> None:
        """All of `data`; not a checkpoint where it need not wait. Raises httpx.WriteError."""

    @abstractmethod
    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        """What has arrived, b'' at the end; always a checkpoint. Raises httpx.ReadError."""

    @abstractmethod
    def send_nowait(self, data: bytes) -> bool:
        """Whether all of `data` could be sent at once; if not, `flush` sends the rest. Raises
        httpx.WriteError."""

    @abstractmethod
    async def flush(self) -> None:
        """Send what `send_nowait` has left. Raises httpx.WriteError."""

    @abstractmethod
    def receive_nowait(self) -> bytes | None:
        """What has arrived, b'' at the end, None when there is nothing. Raises httpx.ReadError."""

    @abstractmethod
    def is_stale(self) -> bool:
        """Whether something arrived while nothing was asked: the end of the connection, or bytes
        that would be taken for the answer to the next request. Either way it is of no use."""

    @abstractmethod
    def close(self) -> None:
        """At once and without a goodbye; again is harmless."""


class PlainConnection(Connection):
    __slots__ = ("_arrived", "_socket", "_unsent")

    def __init__(self, connected: socket.socket) -> None:
        """Takes over a connected socket."""
        super().__init__()
        connected.setblocking(False)
        self._socket = connected
        self._unsent = memoryview(b"")
        self._arrived = select.poll()  # a third of the price of a recv that would block
        self._arrived.register(connected, select.POLLIN)

    def fileno(self) -> int:
        return self._socket.fileno()

    async def send(self, data: bytes | memoryview) -> None:
        while True:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
                continue
            except OSError as error:
                raise httpx.WriteError(f"sending failed: {reason_of(error)}") from error
            if sent == len(data):
                return
            data = memoryview(data)[sent:]

    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        # Waiting first: an answer is hardly ever there already, and a fast body must not keep
        # this task from yielding to the others.
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise httpx.ReadError(f"receiving failed: {reason_of(error)}") from error

    def send_nowait(self, data: bytes) -> bool:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise httpx.WriteError(f"sending failed: {reason_of(error)}") from error
        if sent == len(data):
            return True
        self._unsent = memoryview(data)[sent:]
        return False

    async def flush(self) -> None:
        unsent, self._unsent = self._unsent, memoryview(b"")
        if unsent:
            await self.send(unsent)

    def receive_nowait(self) -> bytes | None:
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise httpx.ReadError(f"receiving failed: {reason_of(error)}") from error

    def is_stale(self) -> bool:
        return bool(self._arrived.poll(0))

    def close(self) -> None:
        self._socket.close()


def reason_of(error: BaseException) -> str:
    """What happened, out of the layers that Trio and OpenSSL wrap it in."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return ", ".join(dict.fromkeys(reason_of(each) for each in cause.exceptions))
    if cause is not None:
        return reason_of(cause)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
