"""The existence probe: a HEAD without httpx's request and response objects around it.

It is the one S3 request that can happen for every redirect, so it takes the short way: the request
is a row of bytes made once and used again for minutes, signature included, and the answer's head
is parsed straight from the socket. The connections are the transport's.

There are two ways: `probe` waits in its caller's task, opens connections and replaces them; and
`probe_soon` needs no task, but a connection that lies ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from parparchik import __version__
from parparchik.errors import NoCredentials
from parparchik.s3.addressing import Address
from parparchik.s3.connection import Connection
from parparchik.s3.exchange import Timeouts, converse
from parparchik.s3.pool import Pool
from parparchik.s3.prepared import PreparedRequests, Shelf
from parparchik.s3.probing import Outcome, Probe
from parparchik.s3.reactor import Reactor
from parparchik.s3.receive import receive_head
from parparchik.s3.response import Reply, ResponseParser
from parparchik.s3.sigv4 import EMPTY_PAYLOAD_SHA256, Credentials, sign_headers
from parparchik.s3.trace import traced


class Prober:
    """HEADs for one bucket.

    `credentials` must return the same object as long as the credentials stay the same. What is
    kept counts against `shelf`.
    """

    __slots__ = (
        "_address",
        "_pool",
        "_prepared",
        "_reactor",
        "_region",
        "_timeouts",
    )

    def __init__(
        self,
        pool: Pool,
        address: Address,
        *,
        region: str,
        credentials: Callable[[], Credentials],
        connect_timeout_s: float,
        reactor: Reactor | None = None,
        shelf: Shelf | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._reactor = reactor
        self._address = address
        self._region = region
        self._timeouts = Timeouts(connect_s=connect_timeout_s)
        self._prepared = PreparedRequests(
            self._sign, credentials=credentials, now=now, shelf=shelf or Shelf()
        )

    async def probe(self, key: str) -> Reply:
        """One HEAD; its time is the caller's cancel scope. Raises httpx.TransportError, and what
        `credentials` raises."""
        prepared = self._prepared.get(key)

        async def talk(connection: Connection, parser: ResponseParser) -> None:
            await connection.send(traced(prepared.request))
            await receive_head(connection, parser)

        connection, parser = await converse(
            self._pool, talk, to_head=True, may_repeat=_always, timeouts=self._timeouts
        )
        if parser.reusable:
            self._pool.release(connection)
        else:
            self._pool.discard(connection)
        if parser.status == 200:
            prepared.keep()
        return Reply(parser.status, dict(parser.headers))

    def probe_soon(
        self, key: str, then: Callable[[Outcome], None], *, now_s: float, timeout_s: float
    ) -> Probe | None:
        """One HEAD without a task; None where that cannot begin at once. `then` is called once and
        from the event loop. A connection that turns out closed is not replaced here. `now_s` is
        Trio's time, which costs more than a look."""
        reactor = self._reactor
        if reactor is None or not reactor.running:
            return None
        try:
            prepared = self._prepared.get(key)
        except NoCredentials:
            return None  # whoever asks in earnest is told
        connection = self._pool.acquire_nowait(now_s)
        if connection is None:
            return None
        probe = Probe(self._pool, connection, reactor, prepared, then)
        return probe if probe.send(now_s=now_s, timeout_s=timeout_s) else None

    def _sign(self, key: str, credentials: Credentials, now_s: float) -> bytes:
        path = self._address.path(key)
        host = self._address.origin.authority
        signed = sign_headers(
            "HEAD",
            path,
            (),
            (("host", host),),
            payload_hash=EMPTY_PAYLOAD_SHA256,
            credentials=credentials,
            region=self._region,
            now_s=now_s,
        )
        lines = [
            f"HEAD {path} HTTP/1.1",
            f"host: {host}",
            f"user-agent: parparchik/{__version__}",
            *(f"{name}: {value}" for name, value in signed),
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def _always() -> bool:
    return True
