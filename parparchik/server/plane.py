"""All that answers on sockets in this process: the edge, and Hypercorn for what the edge hands
over and for TLS.

What answers (an application) is another matter: it is given, and may be changed for another while
connections stay open.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from parparchik.access import AccessLog, RateLimiter, RequestIds
from parparchik.config.model import ServerConfig
from parparchik.edge import Edge, Limits
from parparchik.metrics import ConnectionStatistics
from parparchik.model import Action, Question, Request
from parparchik.server.accept import Acceptor
from parparchik.server.hypercorn import HypercornConnections
from parparchik.server.listen import speaks_tls
from parparchik.server.supervise import Supervisor
from parparchik.server.tls import Certificate, Pem
from parparchik.web import ASGIApp

Ask = Callable[[Request], Question | None]
"""What a GET or a HEAD asks; None where that is for Hypercorn's app to answer."""

Act = Callable[[Request], Action | None]
"""What does that which any other method wants; None likewise."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What is asked: about files by the edge, about everything by Hypercorn; and where that is
    recorded. `limiter` is the edge's to ask; the app asks it itself. `act` is asked by the edge."""

    ask: Ask
    app: ASGIApp
    access: AccessLog
    limiter: RateLimiter | None = None
    act: Act = lambda request: None


class Answerer(Protocol):
    """An application, of which a plane needs no more."""

    @property
    def answering(self) -> Answering: ...


class Plane:
    """Accepts connections and answers their requests with what `answering` says.

    `certificate` is None where nothing speaks TLS. A crash of the edge or of an accept loop is the
    supervisor's to deal with: it begins again on the same sockets.
    """

    def __init__(
        self,
        config: ServerConfig,
        answering: Answering,
        supervisor: Supervisor,
        request_ids: RequestIds,
        *,
        certificate: Certificate | None = None,
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._certificate = certificate
        self._connections = HypercornConnections(
            *(answering.app, config, request_ids, answering.access)
        )
        self._edge = Edge(
            ask=answering.ask,
            act=answering.act,
            hand_over=self._connections.hand_over,
            access=answering.access,
            request_ids=request_ids,
            limiter=answering.limiter,
            limits=Limits(
                max_connections=config.max_connections,
                header_timeout_s=config.header_timeout_s,
                idle_timeout_s=config.idle_timeout_s,
                write_timeout_s=config.write_timeout_s,
            ),
            elsewhere=lambda: self._tls.taken,
        )
        self._tls = Acceptor(
            self._serve_tls,
            max_connections=config.max_connections,
            elsewhere=lambda: self._edge.taken,
        )

    @property
    def count(self) -> int:
        """Open connections."""
        return self._edge.count + self._connections.count

    def renew_certificate(self, config: ServerConfig, pem: Pem) -> None:
        """Handshakes that begin from now on show `pem`. Raises ConfigError, and then nothing has
        changed."""
        if self._certificate is not None:
            self._certificate.renew(config, pem)

    async def install(self, application: Answerer) -> None:
        """From now on it answers requests, on the connections that there are."""
        answering = application.answering
        self._connections.app = answering.app
        self._connections.house.access = answering.access
        self._edge.renew(
            ask=answering.ask,
            act=answering.act,
            access=answering.access,
            limiter=answering.limiter,
        )

    async def serve(
        self,
        sockets: Sequence[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Until cancelled. The sockets are non-blocking, and stay the caller's."""
        tls = [each for each in sockets if speaks_tls(self._config, each)]
        plain = [each for each in sockets if each not in tls]
        async with trio.open_nursery() as nursery:
            run = self._supervisor.run
            if plain:
                nursery.start_soon(run, "edge", partial(self._edge.serve, plain))
            if tls:
                nursery.start_soon(run, "tls", partial(self._tls.serve, tls))
            task_status.started()  # whoever connects before they run waits in a socket's queue
            await trio.sleep_forever()

    async def _serve_tls(self, accepted: socket.socket) -> None:
        assert self._certificate is not None  # noqa: S101  or there are no such sockets
        await self._connections.serve_tls(accepted, self._certificate.context)

    def stop_accepting(self) -> None:
        """Whoever has connected by now is still served. The sockets may be closed then."""
        self._edge.stop_accepting()
        self._tls.stop_accepting()

    async def drain(self) -> None:
        """End each connection after its next answer, which says so; returns when none is left."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._edge.drain)
            nursery.start_soon(self._connections.drain)
        await self._connections.drain()  # those that the edge has handed over meanwhile

    def abort(self) -> None:
        """Close every connection at once."""
        self._edge.abort()
        self._connections.abort()

    def connections(self) -> ConnectionStatistics:
        edge = self._edge.statistics()
        web = self._connections
        refused = Counter(dict(edge.refused)) + web.house.refused
        timed_out = Counter(dict(edge.timed_out)) + web.house.timed_out
        return ConnectionStatistics(
            open=(("edge", edge.open), ("web", web.count)),
            accepted=edge.accepted + web.accepted - edge.handed_over,
            handed_over=edge.handed_over,
            accept_pauses=edge.accept_pauses + self._tls.pauses,
            failed_handshakes=web.failed_handshakes,
            truncated=edge.truncated + web.house.truncated,
            refused=tuple(sorted(refused.items())),
            timed_out=tuple(sorted(timed_out.items())),
        )
