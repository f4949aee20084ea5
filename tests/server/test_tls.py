"""TLS as clients see it: protocols, versions, certificates that change, silent clients."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.access import AccessLog, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError
from parparchik.metrics import Traffic
from parparchik.server.listen import listen
from parparchik.server.plane import Answering, Plane
from parparchik.server.supervise import Supervisor
from parparchik.server.tls import Certificate, read_pem
from tests.server.web_plane import GET, hello, until

if TYPE_CHECKING:
    from tests.server.conftest import Logged


class Authority:
    """Issues certificates for `localhost` into files, and clients that trust them."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self._ca = trustme.CA()
        self.issue()

    def issue(self) -> None:
        """Another certificate and key, in the same files."""
        issued = self._ca.issue_cert("localhost")
        self.certificate.write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    def client(self, *alpn: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        context.set_alpn_protocols(alpn or ("http/1.1",))
        return context

    def settings(self, **more: Any) -> ServerConfig:
        return ServerConfig(
            host="127.0.0.1",
            port=0,
            tls_certificate=self.certificate,
            tls_key=self.key,
            **more,
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def no_question(request: object) -> Any:
    raise AssertionError("the edge is not asked")


@asynccontextmanager
async def serving(settings: ServerConfig) -> AsyncIterator[tuple[Plane, int]]:
    answering = Answering(no_question, hello, AccessLog(Traffic()))
    certificate = Certificate(settings)
    plane = Plane(settings, answering, Supervisor(), RequestIds(), certificate=certificate)
    (listening,) = await listen(settings, {})
    with listening:
        async with trio.open_nursery() as nursery:
            await nursery.start(plane.serve, [listening])
            yield plane, listening.getsockname()[1]
            plane.abort()
            nursery.cancel_scope.cancel()


Client = trio.SSLStream[trio.SocketStream]


async def connect(port: int, context: ssl.SSLContext) -> Client:
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(plain, context, server_hostname="localhost", https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException:
        await plain.aclose()
        raise
    return stream


async def exchange(stream: Any) -> bytes:
    await stream.send_all(GET)
    return await until(stream, b"hello")


async def test_http1_over_tls_again_and_again(authority: Authority) -> None:
    async with serving(authority.settings()) as (plane, port):
        stream = await connect(port, authority.client())
        assert stream.selected_alpn_protocol() == "http/1.1"
        for _ in range(2):
            assert (await exchange(stream)).startswith(b"HTTP/1.1 200 ")
        assert plane.count == 1
        await stream.aclose()


async def test_http2_is_chosen_where_the_client_speaks_it(authority: Authority) -> None:
    async with serving(authority.settings()) as (_, port):
        stream = await connect(port, authority.client("h2", "http/1.1"))
        assert stream.selected_alpn_protocol() == "h2"
        request = b"\x82\x87\x84\x41\x01t"  # HPACK: GET https t /
        head = len(request).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01" + request
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        await stream.send_all(head)
        assert b"hello" in await until(stream, b"hello")
        await stream.aclose()


async def test_unsound_framing_is_refused_over_tls_too(authority: Authority) -> None:
    async with serving(authority.settings()) as (plane, port):
        stream = await connect(port, authority.client())
        await stream.send_all(GET + b"GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n")
        received = await until(stream, b"repeated Host")
        assert b"hello" in received
        assert b"HTTP/1.1 400 " in received
        assert plane.connections().refused == (("repeated Host", 1),)
        assert await stream.receive_some() == b""
        await stream.aclose()


async def test_versions_older_than_the_oldest(authority: Authority) -> None:
    async with serving(authority.settings(tls_min_version="1.3")) as (plane, port):
        old = authority.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(trio.BrokenResourceError):
            await connect(port, old)
        stream = await connect(port, authority.client())
        assert stream.version() == "TLSv1.3"
        assert plane.connections().failed_handshakes == 1
        await stream.aclose()


async def test_a_client_that_says_nothing_is_not_waited_for(
    authority: Authority, autojump_clock: MockClock
) -> None:
    async with serving(authority.settings(header_timeout_s=5.0)) as (plane, port):
        silent = await trio.open_tcp_stream("127.0.0.1", port)
        await trio.sleep(4)
        assert plane.count == 1
        await trio.sleep(3)
        assert plane.count == 0
        await silent.aclose()


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_a_client_that_goes_silent_is_given_up(
    authority: Authority, autojump_clock: MockClock, sent: bytes
) -> None:
    settings = authority.settings(header_timeout_s=5.0, idle_timeout_s=30.0)
    async with serving(settings) as (plane, port):
        stream = await connect(port, authority.client())
        if sent:
            await stream.send_all(sent)
        await trio.sleep(4 if sent else 29)
        assert plane.count == 1
        await trio.sleep(3)
        assert plane.count == 0
        assert plane.connections().timed_out == (("header" if sent else "idle", 1),)
        received = await until(stream, b"nothing more")
        assert received.startswith(b"HTTP/1.1 408 " if sent else b"")
        await stream.transport_stream.aclose()


async def test_no_more_connections_than_there_may_be(authority: Authority) -> None:
    async with serving(authority.settings(max_connections=2)) as (plane, port):
        first, second = [await connect(port, authority.client()) for _ in range(2)]
        third = await trio.open_tcp_stream("127.0.0.1", port)  # waits in the kernel's queue
        await wait_all_tasks_blocked()
        assert plane.count == 2
        assert plane.connections().accept_pauses == 1
        assert b"hello" in await exchange(first)
        await first.aclose()
        later = trio.SSLStream(third, authority.client(), server_hostname="localhost")
        with trio.fail_after(5):
            await later.do_handshake()
            assert b"hello" in await exchange(later)
        await second.aclose()
        await third.aclose()


async def test_plain_http_on_the_port_of_tls_harms_nobody(authority: Authority) -> None:
    async with serving(authority.settings()) as (_, port):
        async with await trio.open_tcp_stream("127.0.0.1", port) as plain:
            await plain.send_all(GET)
            while await plain.receive_some():
                pass
        stream = await connect(port, authority.client())
        assert b"hello" in await exchange(stream)
        await stream.aclose()


async def test_a_certificate_is_renewed_and_a_bad_one_is_not(
    authority: Authority, logged: Logged
) -> None:
    settings = authority.settings()
    async with serving(settings) as (plane, port):
        old = await connect(port, authority.client())
        first = old.getpeercert(binary_form=True)
        authority.issue()
        plane.renew_certificate(settings, read_pem(settings))
        new = await connect(port, authority.client())
        second = new.getpeercert(binary_form=True)
        assert first != second
        authority.key.write_text("no key")
        with pytest.raises(ConfigError, match="PARPARCHIK_TLS_KEY"):
            plane.renew_certificate(settings, read_pem(settings))
        newest = await connect(port, authority.client())
        assert newest.getpeercert(binary_form=True) == second
        for stream in (old, new, newest):
            assert b"hello" in await exchange(stream)
            await stream.aclose()


async def test_connections_end_when_it_drains(authority: Authority, nursery: trio.Nursery) -> None:
    async with serving(authority.settings()) as (plane, port):
        used, idle = [await connect(port, authority.client()) for _ in range(2)]
        await exchange(used)
        plane.stop_accepting()
        with trio.fail_after(10):
            async with trio.open_nursery() as draining:
                draining.start_soon(plane.drain)
                await wait_all_tasks_blocked()
                assert b"\r\nconnection: close\r\n" in await exchange(used)
                assert await used.receive_some() == b""
                assert await idle.receive_some() == b""
                await used.aclose()
                await idle.aclose()
        assert plane.count == 0


Spoil = Callable[[Authority], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes()),
         "PARPARCHIK_TLS_KEY: .*another certificate"),
        (lambda a: a.key.write_text("-"), "PARPARCHIK_TLS_KEY: .*no private key in PEM"),
        (lambda a: a.certificate.write_text("-"), "TLS_CERTIFICATE: .*no certificate in PEM"),
        (lambda a: a.certificate.unlink(), "TLS_CERTIFICATE=.*No such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_files_is_said(
    authority: Authority, spoil: Spoil, message: str
) -> None:
    spoil(authority)
    with pytest.raises(ConfigError, match=message):
        Certificate(authority.settings())


def test_a_certificate_whose_file_has_no_key(authority: Authority) -> None:
    settings = replace(authority.settings(), tls_key=None)
    with pytest.raises(ConfigError, match="no private key in PEM form; PARPARCHIK_TLS_KEY says"):
        Certificate(settings)
    authority.certificate.write_bytes(
        authority.key.read_bytes() + authority.certificate.read_bytes()
    )
    Certificate(settings)


def test_what_was_read_is_used_whatever_becomes_of_the_files(authority: Authority) -> None:
    settings = authority.settings()
    pem = read_pem(settings)
    authority.certificate.write_text("-")
    authority.key.unlink()
    descriptors = len(os.listdir("/proc/self/fd"))
    Certificate(settings, pem)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert "KEY" not in repr(pem)


async def test_a_port_of_its_own_leaves_the_other_plain(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        tls_port = free.getsockname()[1]
    settings = authority.settings(tls_port=tls_port)
    sockets = await listen(settings, {})
    plane = Plane(
        *(settings, Answering(no_question, hello, AccessLog(Traffic())), Supervisor()),
        RequestIds(),
        certificate=Certificate(settings),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.serve, sockets)
        stream = await connect(tls_port, authority.client())
        assert b"hello" in await exchange(stream)
        port = sockets[0].getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as plain:
            # What the edge does not serve it hands over.
            await plain.send_all(GET.replace(b"GET", b"POST"))
            assert b"hello" in await until(plain, b"hello")
        await stream.aclose()
        plane.abort()
        nursery.cancel_scope.cancel()
    for each in sockets:
        each.close()
