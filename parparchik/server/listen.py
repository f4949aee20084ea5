"""Sockets to listen on, and what to call them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import trio

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError


async def listen(config: ServerConfig) -> Sequence[trio.SocketListener]:
    """Listening sockets for every address of the configured host. Raises ConfigError."""
    try:
        return await trio.open_tcp_listeners(config.port, host=config.host)
    except OSError as error:
        raise ConfigError(
            f"PARPARCHIK_HOST={config.host} and PARPARCHIK_PORT={config.port} cannot be listened"
            f" on: {error.strerror or error}"
        ) from None


def url_of(listener: trio.SocketListener) -> str:
    """Where a listener is reached, with the port that it really has."""
    host, port, *_ = listener.socket.getsockname()
    bracketed = f"[{host}]" if listener.socket.family == socket.AF_INET6 else host
    return f"http://{bracketed}:{port}"
