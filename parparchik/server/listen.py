"""Sockets to listen on: our own, or those of a service manager; and what to call them.

Sockets that a service manager holds (systemd, by sd_listen_fds(3)) outlive this process: whoever
connects while it is started anew waits in their queue, and nobody is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import trio

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError

FIRST_PASSED = 3
"""SD_LISTEN_FDS_START."""


async def listen(config: ServerConfig, environ: Mapping[str, str]) -> list[socket.socket]:
    """Non-blocking listening sockets: those that were passed to this process, or, where none
    were, one for every address of the configured host and each port. Raises ConfigError."""
    if passed := passed_sockets(environ):
        return passed
    ports = {"PARPARCHIK_PORT": config.port, "PARPARCHIK_TLS_PORT": config.tls_port}
    sockets: list[socket.socket] = []
    for name, port in ports.items():
        if port is not None:
            sockets += await _open(config.host, name, port)
    return sockets


def passed_sockets(environ: Mapping[str, str], first: int = FIRST_PASSED) -> list[socket.socket]:
    """What the service manager has passed to this very process, [] if nothing. Raises
    ConfigError for what is no listening socket."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    sockets = []
    for descriptor in range(first, first + int(environ.get("LISTEN_FDS", "0"))):
        try:
            passed = socket.socket(fileno=descriptor)
        except OSError:
            raise ConfigError(f"LISTEN_FDS: descriptor {descriptor} is no socket") from None
        listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not listens or passed.family not in (socket.AF_INET, socket.AF_INET6):
            passed.close()
            raise ConfigError(f"LISTEN_FDS: descriptor {descriptor} is no TCP socket that listens")
        passed.setblocking(False)
        passed.set_inheritable(False)
        sockets.append(passed)
    return sockets


async def _open(host: str, name: str, port: int) -> list[socket.socket]:
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(
            f"PARPARCHIK_HOST={host} and {name}={port} cannot be listened"
            f" on: {error.strerror or error}"
        ) from None
    return [socket.socket(fileno=listener.socket.detach()) for listener in listeners]


def speaks_tls(config: ServerConfig, listening: socket.socket) -> bool:
    """With a certificate, all sockets do; where TLS has a port of its own, those bound to it."""
    if config.tls_certificate is None:
        return False
    return config.tls_port is None or listening.getsockname()[1] == config.tls_port


def url_of(config: ServerConfig, listening: socket.socket) -> str:
    """Where a socket is reached, with the port that it really has."""
    host, port, *_ = listening.getsockname()
    bracketed = f"[{host}]" if listening.family == socket.AF_INET6 else host
    return f"{'https' if speaks_tls(config, listening) else 'http'}://{bracketed}:{port}"
