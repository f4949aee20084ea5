"""The management API: one small Quart app for the paths in `endpoints`, JSON in every answer.

It is asked only for these exact paths; a request's body is there already, small and whole (the
front has read it).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
import structlog
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, NotFound

from parparchik.config.model import Config
from parparchik.errors import (
    BadTarget,
    ClientError,
    Forbidden,
    ParparchikError,
    Unauthorized,
    Unavailable,
)
from parparchik.metrics import CACHE_TYPE, STATS_TYPE
from parparchik.registry import ManifestUnread, PersistFailed
from parparchik.routes import CHALLENGE, Authenticator, check_key, presented_key
from parparchik.web import documents
from parparchik.web.caching import Caching, Purge, Warm
from parparchik.web.endpoints import ENDPOINTS
from parparchik.web.listing import listing
from parparchik.web.nearby import is_from_here
from parparchik.web.protocols import (
    ASGIApp,
    Checks,
    Exposition,
    Files,
    Readiness,
    RegistryService,
)

log = structlog.get_logger(__name__)

View = Callable[[], Awaitable[Response]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Management:
    """The views, one method per endpoint, and what they stand on. `caching` is None where no
    objects are served and nothing is cached, `checks` where /health has none to make."""

    config: Config
    service: RegistryService
    files: Files
    readiness: Readiness
    exposition: Exposition
    authenticator: Authenticator
    caching: Caching | None = None
    checks: Checks | None = None

    async def status(self) -> Response:
        ready = self.readiness.reason() is None
        if not self._authorized():
            return _json(documents.BriefStatus("ok", ready))
        buckets = [each.bucket for each in self.config.buckets]
        names = [bucket.name for bucket in buckets]
        return _json(
            documents.Status(
                status="ok",
                buckets=[documents.BucketDocument.of(bucket) for bucket in buckets],
                region=self.config.region,
                ready=ready,
                file_count=self.service.count,
                public_bucket=names[0] if names else None,
                private_bucket=names[1] if len(names) > 1 else None,
            )
        )

    async def readiness_probe(self) -> Response:
        reason = self.readiness.reason()
        count = self.service.count
        if reason is None:
            return _json(documents.Ready("ready", True, count))
        return _json(documents.Ready("not_ready", False, count, reason), status=503)

    async def healthcheck(self) -> Response:
        return _json(documents.BriefStatus("ok", self.readiness.reason() is None))

    async def list_files(self) -> Response:
        self._authorize()
        if self.config.routes.list_sync or _parameter("sync").lower() in ("true", "1"):
            await self.service.sync()
        body = _nothing() if request.method == "HEAD" else listing(self.files)
        return Response(body, content_type="application/json")

    async def update(self) -> Response:
        self._authorize()
        key = _filename()
        entry = await self.service.update(key)
        if entry is None:
            return _json(documents.Problem("file not found", filename=key), status=404)
        return _json(documents.Located("file located", documents.FileDocument.of(entry)))

    async def relocate(self) -> Response:
        self._authorize()
        key = _filename()
        moved = await self.service.relocate(key)
        if moved is None:
            problem = documents.Problem("file not found in any bucket", "fail", key)
            return _json(problem, status=404)
        return _json(
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
            return _json(documents.Health("healthy", checks))
        return _json(documents.Health("unhealthy", checks), status=503)

    async def stats(self) -> Response:
        return await self._figures(STATS_TYPE)

    async def cache_stats(self) -> Response:
        return await self._figures(CACHE_TYPE)

    async def cache_purge(self) -> Response:
        caching = self._authorize_change()
        return _json(await caching.purge(await _document(Purge)))

    async def cache_warm(self) -> Response:
        caching = self._authorize_change()
        return _json(await caching.warm(await _document(Warm)))

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
        client = request.scope["client"]
        headers = tuple(request.scope["headers"])
        if self.authenticator.required or is_from_here(client[0] if client else "", headers):
            return caching
        raise Forbidden("without API keys in the settings this is for the machine itself alone")

    def _authorized(self) -> bool:
        headers = request.scope["headers"]
        return self.authenticator.allows(presented_key(headers))

    def _authorize(self) -> None:
        if not self._authorized():
            raise Unauthorized("an API key is needed: Authorization: Bearer, or X-API-Key")


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
        "cache_warm": management.cache_warm,
    }
    for endpoint in ENDPOINTS:
        for path in endpoint.paths:
            app.add_url_rule(path, endpoint.name, views[endpoint.name], methods=endpoint.methods)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(ParparchikError, _problem)
    app.register_error_handler(PersistFailed, _not_persisted)
    app.register_error_handler(ManifestUnread, _not_read)
    app.register_error_handler(Exception, _crash)
    app.after_request(_never_cached)
    return cast("ASGIApp", app)  # the same protocol, in Hypercorn's narrower types


def _json(document: msgspec.Struct, *, status: int = 200) -> Response:
    body = msgspec.json.encode(document)
    return Response(body, status=status, content_type="application/json")


async def _nothing() -> AsyncIterator[bytes]:
    """No body, and no Content-Length that would claim an empty one for GET."""
    return
    yield b""


def _parameter(name: str) -> str:
    """The first value of a query parameter, '' without one. Raises BadTarget for bytes that are
    not UTF-8: a replacement character would name another file."""
    try:
        query = request.query_string.decode("ascii")
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise BadTarget("the query is not percent-encoded UTF-8") from None
    return next((value for key, value in pairs if key == name), "")


async def _document(kind: type[T]) -> T:
    """The request's body, which has to be such a document. Raises ClientError."""
    try:
        return msgspec.json.decode(await request.get_data(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(f"the body is not what is asked for here: {error}") from None


def _filename() -> str:
    key = _parameter("filename")
    if not key:
        raise BadTarget("missing 'filename' query parameter")
    check_key(key)
    return key


async def _problem(error: ParparchikError) -> Response:
    """A failure that has a name: its status, its message, and when to ask again."""
    fail: Literal["fail"] | None = "fail" if request.path == "/relocate" else None
    response = _json(documents.Problem(error.client_message, fail), status=error.status)
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = CHALLENGE.decode()
    return response


async def _not_persisted(error: PersistFailed) -> Response:
    log.error("manifests not persisted", reason=str(error))
    problem = documents.Problem("failed to persist manifests", "fail", _filename())
    return _json(problem, status=500)


async def _not_read(error: ManifestUnread) -> Response:
    """While the process starts: nothing has failed, and asking again helps."""
    response = _json(documents.Problem(str(error), "fail", _filename()), status=503)
    response.headers["Retry-After"] = "1"
    return response


async def _http_problem(error: HTTPException) -> Response:
    """What Quart itself refuses."""
    return _json(documents.Problem((error.name or "error").lower()), status=error.code or 500)


async def _crash(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return _json(documents.Problem("internal server error"), status=500)


async def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
