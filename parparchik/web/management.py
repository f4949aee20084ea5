"""The management API: one small Quart app for the paths in `endpoints`, JSON in every answer.

It is asked only for these exact paths; a request's body is there already, small and whole (the
front has read it).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, NotFound

from parparchik.config.model import Config
from parparchik.errors import Forbidden, ParparchikError, Unauthorized
from parparchik.metrics import CACHE_TYPE, PEERS_TYPE, STATS_TYPE
from parparchik.peers import Forget
from parparchik.registry import ManifestUnread, PersistFailed
from parparchik.routes import Authenticator, presented_key
from parparchik.web import documents
from parparchik.web.asking import (
    answer_crash,
    answer_failure,
    answer_not_persisted,
    answer_not_read,
    answer_refusal,
    as_json,
    body_as,
    filename,
    parameter,
)
from parparchik.web.caching import Caching, Purge, Warm
from parparchik.web.endpoints import ENDPOINTS
from parparchik.web.listing import listing
from parparchik.web.nearby import is_from_here
from parparchik.web.peering import Peering
from parparchik.web.protocols import (
    ASGIApp,
    Checks,
    Exposition,
    Files,
    Readiness,
    RegistryService,
    Scope,
)

View = Callable[[], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Management:
    """The views, one method per endpoint, and what they stand on. `caching` and `peering` are None
    where no objects are served and nothing is cached, `checks` where /health has none to make."""

    config: Config
    service: RegistryService
    files: Files
    readiness: Readiness
    exposition: Exposition
    authenticator: Authenticator
    caching: Caching | None = None
    checks: Checks | None = None
    peering: Peering | None = None

    def trusts(self, scope: Scope) -> bool:
        """Whether a request may change anything here, as far as its headers tell."""
        key = presented_key(scope["headers"])
        asked = [self.authenticator]
        if self.peering is not None:
            asked.append(self.peering.authenticator)
        if any(each.required and each.allows(key) for each in asked):
            return True
        return not all(each.required for each in asked) and _is_nearby(scope)

    async def status(self) -> Response:
        ready = self.readiness.reason() is None
        if not self._authorized():
            return as_json(documents.BriefStatus("ok", ready))
        buckets = [each.bucket for each in self.config.buckets]
        names = [bucket.name for bucket in buckets]
        return as_json(
            documents.Status(
                status="ok",
                buckets=[documents.BucketDocument.of(bucket) for bucket in buckets],
                region=self.config.region,
                ready=ready,
                file_count=self.service.count,
                public_bucket=names[0] if names else None,
                private_bucket=names[1] if len(names) > 1 else None,
                peers=await self._peers() if self.config.cache.peers else msgspec.UNSET,
            )
        )

    async def readiness_probe(self) -> Response:
        reason = self.readiness.reason()
        count = self.service.count
        if reason is None:
            return as_json(documents.Ready("ready", True, count))
        return as_json(documents.Ready("not_ready", False, count, reason), status=503)

    async def healthcheck(self) -> Response:
        return as_json(documents.BriefStatus("ok", self.readiness.reason() is None))

    async def list_files(self) -> Response:
        self._authorize()
        if self.config.routes.list_sync or parameter("sync").lower() in ("true", "1"):
            await self.service.sync()
        body = _nothing() if request.method == "HEAD" else listing(self.files)
        return Response(body, content_type="application/json")

    async def update(self) -> Response:
        self._authorize()
        key = filename()
        entry = await self.service.update(key)
        if entry is None:
            return as_json(documents.Problem("file not found", filename=key), status=404)
        return as_json(documents.Located("file located", documents.FileDocument.of(entry)))

    async def relocate(self) -> Response:
        self._authorize()
        key = filename()
        moved = await self.service.relocate(key)
        if moved is None:
            problem = documents.Problem("file not found in any bucket", "fail", key)
            return as_json(problem, status=404)
        return as_json(
            documents.RelocatedDocument(
                "ok",
                documents.FileDocument.of(moved.entry),
                moved.relocated_from,
                moved.relocated_to,
                moved.duplicate,
                moved.note,
            )
        )

    async def metrics(self) -> Response:
        if self.config.auth.metrics_need_key:
            self._authorize()
        content_type, body = await self.exposition.render(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    async def health(self) -> Response:
        checks = {} if self.checks is None else await self.checks()
        if all(outcome == "ok" for outcome in checks.values()):
            return as_json(documents.Health("healthy", checks))
        return as_json(documents.Health("unhealthy", checks), status=503)

    async def stats(self) -> Response:
        return await self._figures(STATS_TYPE)

    async def cache_stats(self) -> Response:
        return await self._figures(CACHE_TYPE)

    async def cache_purge(self) -> Response:
        caching = self._authorize_change()
        return as_json(await caching.purge(await body_as(Purge)))

    async def cache_warm(self) -> Response:
        caching = self._authorize_change()
        return as_json(await caching.warm(await body_as(Warm)))

    async def cache_forget(self) -> Response:
        """Of peers, which may do no more than that; where nobody has a key, of this machine's."""
        if self.peering is None:
            raise NotFound
        if not self.peering.authenticator.required:
            self._authorize_nearby()
        elif not self.peering.authenticator.allows(presented_key(request.scope["headers"])):
            raise Unauthorized("the key of the peers is needed: Authorization: Bearer")
        return as_json(await self.peering.forget(await body_as(Forget)))

    async def _peers(self) -> list[documents.PeerDocument]:
        """Out of a scrape: the process that tells them may be another one."""
        _, body = await self.exposition.render(PEERS_TYPE)
        return msgspec.json.decode(body, type=list[documents.PeerDocument])

    async def _figures(self, kind: str) -> Response:
        """Out of a scrape: with several processes it is that which has the numbers of all."""
        self._authorize_caching()
        content_type, body = await self.exposition.render(kind)
        return Response(body, content_type=content_type)

    def _authorize_caching(self) -> Caching:
        self._authorize()
        if self.caching is None:
            raise NotFound
        return self.caching

    def _authorize_change(self) -> Caching:
        """Where nobody has a key, the public of a website shall not empty its cache or have all of
        its bucket fetched: then that is for this machine alone."""
        caching = self._authorize_caching()
        if not self.authenticator.required:
            self._authorize_nearby()
        return caching

    def _authorize_nearby(self) -> None:
        if not _is_nearby(cast("Scope", request.scope)):
            raise Forbidden("without API keys in the settings this is for the machine itself alone")

    def _authorized(self) -> bool:
        headers = request.scope["headers"]
        return self.authenticator.allows(presented_key(headers))

    def _authorize(self) -> None:
        if not self._authorized():
            raise Unauthorized("an API key is needed: Authorization: Bearer, or X-API-Key")


def _is_nearby(scope: Scope) -> bool:
    client = scope["client"]
    return is_from_here(client[0] if client else "", tuple(scope["headers"]))


def create_management(management: Management) -> ASGIApp:
    """The Quart app that serves `management`."""
    app = QuartTrio(__name__, static_folder=None)
    app.config["RESPONSE_TIMEOUT"] = None  # it would cut a long list short without a word
    app.config["BODY_TIMEOUT"] = None
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    views: dict[str, View] = {
        "status": management.status,
        "readiness": management.readiness_probe,
        "healthcheck": management.healthcheck,
        "list": management.list_files,
        "update": management.update,
        "relocate": management.relocate,
        "metrics": management.metrics,
        "health": management.health,
        "stats": management.stats,
        "cache_stats": management.cache_stats,
        "cache_purge": management.cache_purge,
        "cache_forget": management.cache_forget,
        "cache_warm": management.cache_warm,
    }
    for endpoint in ENDPOINTS:
        for path in endpoint.paths:
            app.add_url_rule(path, endpoint.name, views[endpoint.name], methods=endpoint.methods)
    app.register_error_handler(HTTPException, answer_refusal)
    app.register_error_handler(ParparchikError, answer_failure)
    app.register_error_handler(PersistFailed, answer_not_persisted)
    app.register_error_handler(ManifestUnread, answer_not_read)
    app.register_error_handler(Exception, answer_crash)
    app.after_request(_never_cached)
    return cast("ASGIApp", app)  # the same protocol, in Hypercorn's narrower types


async def _nothing() -> AsyncIterator[bytes]:
    """No body, and no Content-Length that would claim an empty one for GET."""
    return
    yield b""


async def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
