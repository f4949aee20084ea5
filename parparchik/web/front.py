"""The ASGI front: where a request goes, decided on the bytes of its path.

Quart and Werkzeug decode, merge and redirect paths; keys must survive none of that. So files never
reach them: whatever is not exactly a management path goes from the ASGI scope to whoever answers
for the path, and what that answers is written as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
import trio

from parparchik.access import CLIENT_GONE, AccessLog, RateLimiter, RequestIds
from parparchik.errors import ClientGone, ParparchikError
from parparchik.model import Answer, Mount
from parparchik.routes import failure, problem
from parparchik.web.answering import give
from parparchik.web.body import LARGEST_BYTES, discard_rest, take_body, with_body
from parparchik.web.endpoints import BY_PATH
from parparchik.web.exchange import Exchange
from parparchik.web.mounts import Mounts
from parparchik.web.protocols import ASGIApp, Receive, Scope, Send
from parparchik.web.upload import RequestBody, go_ahead_of

UPLOAD_TIMEOUT_S = 60.0

_ASKING = ("GET", "HEAD")

log = structlog.get_logger(__name__)


class Front:
    """The ASGI app that a server is given. `upload_timeout_s` may pass without a byte of a body
    that somebody wants. `limiter` says who asks too often, `trusts` who may send the large bodies
    of the management API: they are collected, and anybody could fill the memory by them."""

    def __init__(
        self,
        mounts: Mounts,
        management: ASGIApp,
        access: AccessLog,
        request_ids: RequestIds,
        *,
        trusts: Callable[[Scope], bool],
        limiter: RateLimiter | None = None,
        upload_timeout_s: float = UPLOAD_TIMEOUT_S,
    ) -> None:
        self._mounts = mounts
        self._management = management
        self._access = access
        self._request_ids = request_ids
        self._trusts = trusts
        self._limiter = limiter
        self._upload_timeout_s = upload_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before any accept: 403
        elif scope["type"] == "http":
            await self._exchange(scope, receive, Exchange.of(scope, send, self._request_ids))

    async def _exchange(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        began = trio.current_time()
        self._access.begin(exchange.request_id, exchange.trace)
        try:
            await self._serve(scope, receive, exchange)
        except ClientGone:
            pass
        except Exception:  # the client is owed an answer, whatever failed
            log.exception("request failed")
            if not exchange.status:
                await give(exchange, problem(500))
        finally:
            self._record(exchange, trio.current_time() - began)

    async def _serve(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        request = exchange.request
        mount = self._mounts.find(request.header(b"host"), exchange.path)
        endpoint = BY_PATH.get(exchange.path) if mount is None else None
        if self._limiter is not None and (endpoint is None or endpoint.is_limited):
            forwarded_for = request.header(b"x-forwarded-for")
            too_many = self._limiter.refuse(exchange.client, request.api_key, forwarded_for)
            if too_many is not None:
                await give_unread(exchange, receive, too_many)
                return
        whose = mount or endpoint
        methods = whose.methods if whose else _ASKING
        acts = mount is not None and request.method not in _ASKING  # what it has not it refuses
        if request.method not in methods and not acts:
            refusal = problem(405)
            allow = (b"allow", ", ".join(methods).encode())
            refusal = replace(refusal, headers=(*refusal.headers, allow))
            await give_unread(exchange, receive, refusal)
            return
        go_ahead = go_ahead_of(scope)
        if mount is not None and acts:
            upload = RequestBody(
                receive, go_ahead, request.headers, timeout_s=self._upload_timeout_s
            )
            await self._act(exchange, receive, mount, upload)
            return
        await go_ahead()
        largest_bytes = endpoint.largest_body_bytes if endpoint else LARGEST_BYTES
        if largest_bytes > LARGEST_BYTES and not self._trusts(scope):
            largest_bytes = LARGEST_BYTES
        body = await take_body(receive, largest_bytes)
        if isinstance(body, int):
            await give_unread(exchange, receive, problem(body))
        elif endpoint:
            exchange.kind = endpoint.name
            await self._management(
                scope, with_body(receive, exchange.is_answered, body), exchange.send
            )
        else:
            await self._ask(exchange, receive)

    async def _ask(self, exchange: Exchange, receive: Receive) -> None:
        question = self._mounts.ask(exchange.request)
        if question is None:  # a mount that answers neither GET nor HEAD
            await give(exchange, problem(404))
            return
        try:
            answer = question.answer_nowait() or await question.answer()
        except ParparchikError as error:
            answer = failure(error, kind="other")
        if answer.content is None:
            await give(exchange, answer)
        else:
            await give_unread(exchange, receive, answer)

    async def _act(
        self, exchange: Exchange, receive: Receive, mount: Mount, upload: RequestBody
    ) -> None:
        try:
            answer = await mount.act(exchange.request, upload)
        except ClientGone:
            raise
        except ParparchikError as error:
            answer = failure(error, kind="other")
        except Exception:
            log.exception("request failed")
            answer = problem(500)
        if upload.at_end and answer.content is None:
            await give(exchange, answer)
        else:
            await give_unread(exchange, receive, answer)

    def _record(self, exchange: Exchange, seconds: float) -> None:
        location = next((v for name, v in exchange.headers if name == b"location"), b"")
        record = self._access.prepare(
            method=exchange.request.method,
            target=exchange.request.target,
            status=exchange.status or CLIENT_GONE,
            kind=exchange.kind,
            location=location,
            size_bytes=exchange.sent_bytes,
            headers=exchange.headers,
            forwarded_for=exchange.request.header(b"x-forwarded-for"),
            trace=exchange.trace,
        )
        record.add(seconds, exchange.client, exchange.request_id)
        self._access.flush()


async def give_unread(exchange: Exchange, receive: Receive, answer: Answer) -> None:
    """Answer while what the client still sends is read, for nobody; the answer ends where the
    client leaves."""
    async with trio.open_nursery() as nursery:

        async def end_with_client() -> None:
            await discard_rest(receive)
            # The end of the answer counts as one, too: then `send` has more to do.
            if not exchange.complete:
                nursery.cancel_scope.cancel()

        nursery.start_soon(end_with_client)
        await give(exchange, answer)
        nursery.cancel_scope.cancel()
