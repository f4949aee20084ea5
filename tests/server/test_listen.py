"""Sockets to listen on."""

from __future__ import annotations

import socket

import pytest
import trio

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError
from parparchik.server.listen import listen, url_of


@pytest.mark.parametrize(
    ("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
async def test_port_0_gives_a_real_one(host: str, start: str) -> None:
    listeners = await listen(ServerConfig(host=host, port=0))
    (url,) = [url_of(listener) for listener in listeners]
    assert url.startswith(start)
    stream = await trio.open_tcp_stream(host, int(url.removeprefix(start)))
    await stream.aclose()
    await listeners[0].aclose()


async def test_a_taken_port_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"PARPARCHIK_PORT={port}"):
            await listen(ServerConfig(host="127.0.0.1", port=port))


async def test_an_address_that_is_not_this_machines() -> None:
    with pytest.raises(ConfigError, match=r"PARPARCHIK_HOST=192\.0\.2\.1 "):
        await listen(ServerConfig(host="192.0.2.1", port=0))
