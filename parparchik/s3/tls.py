"""TLS over a plain connection.

Trio's SSLStream would do, but for one thing: it cannot tell whether it holds bytes that came
without having been asked for, which on a kept connection would be taken for the answer to the next
request. So OpenSSL works on two memory buffers here, and what lies in them can be seen.
"""

from __future__ import annotations

import ssl

import httpx
import trio

from parparchik.s3.connection import RECEIVE_BYTES, Connection, PlainConnection, reason_of

_RECORD_BYTES = 16 * 1024  # the largest (RFC 8446 section 5.1)
_RECORDS_BYTES = 64 * 1024  # encrypted at once: four records of the largest size


class TlsConnection(Connection):
    """`handshake` comes first. One task may send while another receives."""

    __slots__ = ("_incoming", "_outgoing", "_plain", "_sending", "_tls")

    def __init__(self, plain: PlainConnection, context: ssl.SSLContext, host: str) -> None:
        """Takes over `plain`. `host` is the name or address that the certificate must be for."""
        super().__init__()
        self._plain = plain
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._sending = trio.Lock()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def fileno(self) -> int:
        return self._plain.fileno()

    async def handshake(self) -> None:
        """Raises httpx.ReadError and httpx.WriteError; their cause is an ssl.SSLError where the
        certificate or the protocol is at fault."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._feed(await self._plain.receive())
            except ssl.SSLError as error:
                raise httpx.ReadError(reason_of(error)) from error
            else:
                await self._flush()
                return

    async def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _RECORDS_BYTES):
            try:
                self._tls.write(view[start : start + _RECORDS_BYTES])
            except ssl.SSLError as error:
                raise httpx.WriteError(f"sending failed: {reason_of(error)}") from error
            await self._flush()

    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        """An end without TLS's own goodbye is an error: it may be a truncation (RFC 9112 section
        9.8)."""
        while True:
            try:
                data = self._read(max_bytes)
            except ssl.SSLWantReadError:
                await self._flush()  # what the protocol wants to say by itself
                self._feed(await self._plain.receive(max_bytes))
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise httpx.ReadError(f"receiving failed: {reason_of(error)}") from error
            else:
                await trio.lowlevel.checkpoint()
                return data

    def _read(self, max_bytes: int) -> bytes:
        """All records that are here: OpenSSL gives them out one by one. Raises ssl.SSLError."""
        records = [self._tls.read(_RECORD_BYTES)]
        left = max_bytes - len(records[0])
        while left >= _RECORD_BYTES and records[-1]:
            try:
                records.append(self._tls.read(_RECORD_BYTES))
            except ssl.SSLError:
                break  # it will be raised again, with nothing read
            left -= len(records[-1])
        return records[0] if len(records) == 1 else b"".join(records)

    def send_nowait(self, data: bytes) -> bool:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise httpx.WriteError(f"sending failed: {reason_of(error)}") from error
        if self._sending.locked():
            return False  # it waits among what goes out
        return self._plain.send_nowait(self._outgoing.read())

    async def flush(self) -> None:
        async with self._sending:
            await self._plain.flush()  # before anything that was encrypted later
            await self._plain.send(self._outgoing.read())

    def receive_nowait(self) -> bytes | None:
        """What the protocol itself wants to say goes out with the next request."""
        while True:
            try:
                return self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                data = self._plain.receive_nowait()
                if data is None:
                    return None
                self._feed(data)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise httpx.ReadError(f"receiving failed: {reason_of(error)}") from error

    def is_stale(self) -> bool:
        return bool(self._incoming.pending or self._tls.pending()) or self._plain.is_stale()

    def close(self) -> None:
        self._plain.close()

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self.flush()
