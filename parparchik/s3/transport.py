"""httpx's transport on our own pools: what every S3 request but the existence probe goes through.

httpx keeps what it is good at (requests, responses, auth, streaming, errors) and is handed
connections that cost the same whether one or a thousand are open. One pool per origin, HTTP/1.1
only, no proxies, no redirects. A request that is all there as bytes goes the same way without
httpx's objects around it, see `send`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import trio

from parparchik.errors import ConfigError, UpstreamError
from parparchik.s3.addressing import Origin
from parparchik.s3.body import BODY, ResponseBody
from parparchik.s3.connect import connect
from parparchik.s3.connection import BODY_RECEIVE_BYTES
from parparchik.s3.exchange import Exchange, Timeouts, converse
from parparchik.s3.limit import UNLIMITED, TimeLimit
from parparchik.s3.pool import Pool, PoolStatistics
from parparchik.s3.prepared import Shelf
from parparchik.s3.reactor import Reactor
from parparchik.s3.response import Reply
from parparchik.s3.unattended import Errand

_DEFAULT_PORTS = {"http": 80, "https": 443}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trusts the system's authorities, or those of `ca_bundle` (PEM) in their place."""
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"AWS_CA_BUNDLE={str(ca_bundle)!r} cannot be used: {error}") from error


def _keep_freed_memory() -> None:
    """The C library gives large blocks back to the system as soon as they are free, and gets them
    back page by page, which costs more than filling them. glibc learns what is large of what it has
    mapped and freed: from now on, what has 8 MiB (mallopt(3), M_MMAP_THRESHOLD). It keeps 16 MiB
    at most that nobody uses (M_TRIM_THRESHOLD)."""
    bytes(8 * BODY_RECEIVE_BYTES)


class Transport(httpx.AsyncBaseTransport):
    """`max_connections` and `idle_timeout_s` hold for each origin."""

    def __init__(
        self, tls: ssl.SSLContext, *, max_connections: int = 128, idle_timeout_s: float = 15.0
    ) -> None:
        self._tls = tls
        self._max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self._pools: dict[Origin, Pool] = {}
        self.reactor = Reactor()
        self.shelf = Shelf()

    def pool(self, origin: Origin) -> Pool:
        """The connections to an origin; there are as many pools as origins asked for."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(
                partial(connect, origin, self._tls),
                max_connections=self._max_connections,
                idle_timeout_s=self._idle_timeout_s,
            )
        return pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        scheme, host = url.scheme, url.raw_host.decode("ascii")
        if scheme not in _DEFAULT_PORTS or not host:
            raise httpx.UnsupportedProtocol("only http:// and https:// URLs can be asked for")
        origin = Origin(scheme, host, url.port or _DEFAULT_PORTS[scheme])
        timeouts = Timeouts.of(request.extensions.get("timeout", {}))
        exchange = Exchange.of(request, timeouts, self.reactor)
        body = await self._exchange(
            origin,
            exchange,
            timeouts,
            to_head=request.method == "HEAD",
            may_repeat=lambda: request.method in _IDEMPOTENT and exchange.repeatable,
        )
        return httpx.Response(
            body.status,
            headers=body.headers,
            stream=body,
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": body.reason,
                BODY: body,
            },
        )

    async def send(
        self,
        origin: Origin,
        request: bytes,
        timeouts: Timeouts,
        *,
        to_head: bool,
        limit: TimeLimit,
    ) -> ResponseBody:
        """The answer, with its body still to be read, to a request, head and body, that may be
        repeated. Raises httpx.TransportError."""
        exchange = Exchange(request, timeouts, self.reactor, limit=limit)
        return await self._exchange(
            origin, exchange, timeouts, to_head=to_head, may_repeat=_always, limit=limit
        )

    def send_soon(
        self,
        origin: Origin,
        request: bytes,
        then: Callable[[Reply | UpstreamError | httpx.TransportError | None], None],
        *,
        now_s: float,
        timeout_s: float,
    ) -> bool:
        """The same without a task, where a connection lies ready: whether the request was sent.
        `then` is called later, once, from the event loop; see `Unattended`. A connection that turns
        out closed is not replaced here. `now_s` is Trio's time."""
        if not self.reactor.running:
            return False
        pool = self.pool(origin)
        connection = pool.acquire_nowait(now_s)
        if connection is None:
            return False
        errand = Errand(pool, connection, self.reactor, then)
        return errand.begin(request, now_s=now_s, timeout_s=timeout_s)

    async def _exchange(
        self,
        origin: Origin,
        exchange: Exchange,
        timeouts: Timeouts,
        *,
        to_head: bool,
        may_repeat: Callable[[], bool],
        limit: TimeLimit = UNLIMITED,
    ) -> ResponseBody:
        pool = self.pool(origin)
        connection, parser = await converse(
            pool,
            exchange.talk,
            to_head=to_head,
            may_repeat=may_repeat,
            timeouts=timeouts,
            limit=limit,
        )
        body = ResponseBody(pool, connection, parser, read_timeout_s=timeouts.read_s)
        body.settle()
        return body

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Closes connections that nobody uses any more, and runs the reactor, until cancelled;
        then all idle ones are closed. May be run again after that."""
        for pool in self._pools.values():
            pool.reopen()
        _keep_freed_memory()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.reactor.run)
                task_status.started()
                while True:
                    await trio.sleep(self._idle_timeout_s)
                    for pool in self._pools.values():
                        pool.close_expired()
        finally:
            self.close()

    def close(self) -> None:
        """Connections in use are closed when their response ends."""
        for pool in self._pools.values():
            pool.close()

    async def aclose(self) -> None:
        self.close()

    def statistics(self) -> tuple[tuple[str, PoolStatistics], ...]:
        """Each origin with the state of its connections."""
        return tuple((str(origin), pool.statistics()) for origin, pool in self._pools.items())


def _always() -> bool:
    return True
