"""Opening connections: name, addresses, TLS."""

from __future__ import annotations

import math
import socket
import ssl

import httpx
import trio

from parparchik.s3.addressing import Origin
from parparchik.s3.connection import Connection, PlainConnection, reason_of
from parparchik.s3.tls import TlsConnection


async def connect(
    origin: Origin, tls: ssl.SSLContext, connect_timeout_s: float = math.inf
) -> Connection:
    """A new connection: name look-up, all addresses of the name, TLS handshake where the scheme
    says so, with the certificate held against the host's name or address.

    Raises httpx.ConnectTimeout or httpx.ConnectError.
    """
    try:
        with trio.move_on_after(connect_timeout_s):
            stream = await trio.open_tcp_stream(origin.host, origin.port)
            plain = PlainConnection(socket.socket(fileno=stream.socket.detach()))
            return plain if origin.scheme == "http" else await _secured(plain, tls, origin.host)
    except (OSError, ValueError, httpx.TransportError) as error:  # ValueError: no host name
        raise httpx.ConnectError(f"cannot connect to {origin}: {reason_of(error)}") from error
    raise httpx.ConnectTimeout(f"no connection to {origin} within {connect_timeout_s:g} s")


async def _secured(plain: PlainConnection, tls: ssl.SSLContext, host: str) -> TlsConnection:
    try:
        connection = TlsConnection(plain, tls, host)
        await connection.handshake()
    except BaseException:
        plain.close()
        raise
    return connection
