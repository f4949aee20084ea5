"""The load over HTTP/2 and over TLS, against servers made of h2 and Trio."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
import trio
import trustme

from bench.load import Ask, BadPlan, Cycle, Expected, Target
from tests.bench.scripted import LOCATION, PATH, fire_here, redirect


class Server:
    """Answers GET of PATH with 302, of /wrong with 404; of /end not at all, but ends."""

    def __init__(self) -> None:
        self.streams = 0

    async def http2(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        numbers = count()
        while data := await stream.receive_some():
            for event in connection.receive_data(bytes(data)):
                if not isinstance(event, h2.events.RequestReceived):
                    continue
                self.streams += 1
                path = dict(event.headers or ())[b":path"]
                if path == b"/end":
                    return
                query = f"?X-Amz-Signature={next(numbers)}"
                headers = [(":status", "404" if path == b"/wrong" else "302")]
                headers.append(("location", LOCATION.decode() + query))
                connection.send_headers(event.stream_id, headers)
                connection.send_data(event.stream_id, b"body", end_stream=True)
            await stream.send_all(connection.data_to_send())

    async def http1(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        while await stream.receive_some():
            self.streams += 1
            await stream.send_all(redirect(number=self.streams))


@asynccontextmanager
async def encrypted(server: Server, tmp_path: Path, *, http2: bool) -> AsyncIterator[Target]:
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with stream:
                await stream.do_handshake()
                await (server.http2 if http2 else server.http1)(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the load has left

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_ssl_over_tcp, https_compatible=True)
        listeners = await nursery.start(listen, serve, 0, context)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        yield Target("127.0.0.1", port, tls=True, http2=http2, trusted=trusted)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("rate_per_s", [None, 500.0])
async def test_redirects_are_checked(tmp_path: Path, http2: bool, rate_per_s: float | None) -> None:
    server = Server()
    async with encrypted(server, tmp_path, http2=http2) as target:
        outcome = await fire_here(target, requests=40, rate_per_s=rate_per_s)
    assert (outcome.requests, outcome.errors) == (40, {})
    assert outcome.statuses == {302: 40}
    assert server.streams == 40


async def test_errors_over_http2_are_told_apart(tmp_path: Path) -> None:
    asks = (
        Ask(PATH, Expected(302, "http://elsewhere/")),
        Ask("/wrong", Expected(302)),
        Ask("/end", Expected(302)),
    )
    async with encrypted(Server(), tmp_path, http2=True) as target:
        outcome = await fire_here(target, Cycle(asks), requests=30, connections=1)
    assert outcome.requests == 0
    assert outcome.errors == {"wrong Location": 10, "wrong status": 10, "reset": 10}


@pytest.mark.parametrize("http2", [True, False])
async def test_a_certificate_that_nobody_vouches_for_is_a_connect_error(
    tmp_path: Path, http2: bool
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with encrypted(Server(), tmp_path, http2=http2) as target:
        distrusting = Target(target.host, target.port, tls=True, http2=http2, trusted=other)
        outcome = await fire_here(distrusting, requests=2)
    assert (outcome.requests, outcome.errors) == (0, {"connect": 2})


async def test_http2_connections_are_kept() -> None:
    with pytest.raises(BadPlan):
        await fire_here(Target("127.0.0.1", 1, tls=True, http2=True), keep_alive=False)
