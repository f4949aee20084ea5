"""Sockets to listen on."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError
from parparchik.server.listen import listen, passed_sockets, url_of


@pytest.mark.parametrize(
    ("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
async def test_port_0_gives_a_real_one(host: str, start: str) -> None:
    config = ServerConfig(host=host, port=0)
    sockets = await listen(config, {})
    (url,) = [url_of(config, each) for each in sockets]
    assert url.startswith(start)
    stream = await trio.open_tcp_stream(host, int(url.removeprefix(start)))
    await stream.aclose()
    sockets[0].close()


async def test_a_taken_port_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"PARPARCHIK_PORT={port}"):
            await listen(ServerConfig(host="127.0.0.1", port=port), {})


async def test_an_address_that_is_not_this_machines() -> None:
    with pytest.raises(ConfigError, match=r"PARPARCHIK_HOST=192\.0\.2\.1 "):
        await listen(ServerConfig(host="192.0.2.1", port=0), {})


async def test_sockets_that_were_passed_are_taken_and_not_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        first = listening.fileno()
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        (passed,) = passed_sockets(environ, first)
        assert passed.getsockname() == listening.getsockname()
        assert not passed.getblocking()
        assert not passed.get_inheritable()
        passed.detach()
        assert passed_sockets({**environ, "LISTEN_PID": "1"}, first) == []
        assert passed_sockets({}, first) == []


async def test_what_is_passed_has_to_listen() -> None:
    with socket.socket() as idle:
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with pytest.raises(ConfigError, match="LISTEN_FDS: descriptor"):
            passed_sockets(environ, idle.fileno())
        # It was closed on the way out.
        idle.detach()
