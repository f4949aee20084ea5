"""The ASGI front: where a request goes, decided on the bytes of its path.

Quart and Werkzeug decode, merge and redirect paths; keys must survive none of that. So file routes
never reach them: whatever is not exactly a management path goes from the ASGI scope to the
responder, and what that answers is written as it is.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import cast

import msgspec
import structlog
import trio

from parparchik.access import CLIENT_GONE, AccessLog, RequestIds
from parparchik.model import Answer, Method, Request
from parparchik.routes import presented_key
from parparchik.web.body import ClientGone, discard_body, discard_rest, without_body
from parparchik.web.documents import Problem
from parparchik.web.endpoints import BY_PATH
from parparchik.web.exchange import Exchange
from parparchik.web.protocols import ASGIApp, FileRoutes, Receive, Scope, Send

log = structlog.get_logger(__name__)


class Front:
    """The ASGI app that a server is given."""

    def __init__(
        self,
        routes: FileRoutes,
        management: ASGIApp,
        access: AccessLog,
        request_ids: RequestIds,
    ) -> None:
        self._routes = routes
        self._management = management
        self._access = access
        self._request_ids = request_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before any accept: 403
        elif scope["type"] == "http":
            await self._exchange(scope, receive, Exchange.of(scope, send, self._request_ids))

    async def _exchange(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        began = trio.current_time()
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id.decode())
        try:
            await self._serve(scope, receive, exchange)
        except ClientGone:
            pass
        except Exception:  # the client is owed an answer, whatever failed
            log.exception("request failed")
            if not exchange.status:
                await exchange.answer(_problem(500))
        finally:
            self._record(exchange, trio.current_time() - began)

    async def _serve(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        endpoint = BY_PATH.get(exchange.path)
        methods = endpoint.methods if endpoint else ("GET", "HEAD")
        if exchange.method not in methods:
            await _refuse(exchange, receive, 405, allow=methods)
        elif refusal := await discard_body(receive):
            await _refuse(exchange, receive, refusal)
        elif endpoint:
            exchange.kind = endpoint.name
            await self._management(
                scope, without_body(receive, exchange.is_answered), exchange.send
            )
        else:
            request = Request(
                method=cast("Method", exchange.method),
                target=exchange.target,
                api_key=presented_key(scope["headers"]),
            )
            question = self._routes.ask(request)
            await exchange.answer(question.answer_nowait() or await question.answer())

    def _record(self, exchange: Exchange, seconds: float) -> None:
        record = self._access.prepare(
            method=exchange.method,
            target=exchange.target,
            status=exchange.status or CLIENT_GONE,
            kind=exchange.kind,
            location=exchange.location,
        )
        record.add(seconds, exchange.client, exchange.request_id)
        self._access.flush()


async def _refuse(
    exchange: Exchange, receive: Receive, status: int, *, allow: tuple[str, ...] = ()
) -> None:
    """Answer a request whose body has not been read to its end."""
    answer = _problem(status)
    if allow:
        headers = (*answer.headers, (b"allow", ", ".join(allow).encode()))
        answer = replace(answer, headers=headers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard_rest, receive)
        await exchange.answer(answer)
        nursery.cancel_scope.cancel()


def _problem(status: int) -> Answer:
    body = msgspec.json.encode(Problem(HTTPStatus(status).phrase.lower()))
    return Answer(status, ((b"content-type", b"application/json"),), body)
