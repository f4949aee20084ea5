"""What the management API is asked, out of a request of Quart's, and what it answers where that
fails."""

from __future__ import annotations

from typing import Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from quart import Response, request
from werkzeug.exceptions import HTTPException

from parparchik.errors import BadTarget, ClientError, ParparchikError, Unauthorized, Unavailable
from parparchik.registry import ManifestUnread, PersistFailed
from parparchik.routes import CHALLENGE, check_key
from parparchik.web import documents

log = structlog.get_logger(__name__)

T = TypeVar("T")


def as_json(document: msgspec.Struct, *, status: int = 200) -> Response:
    body = msgspec.json.encode(document)
    return Response(body, status=status, content_type="application/json")


def parameter(name: str) -> str:
    """The first value of a query parameter, '' without one. Raises BadTarget for bytes that are
    not UTF-8: a replacement character would name another file."""
    try:
        query = request.query_string.decode("ascii")
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise BadTarget("the query is not percent-encoded UTF-8") from None
    return next((value for key, value in pairs if key == name), "")


def filename() -> str:
    key = parameter("filename")
    if not key:
        raise BadTarget("missing 'filename' query parameter")
    check_key(key)
    return key


async def body_as(kind: type[T]) -> T:
    """The request's body, which has to be such a document. Raises ClientError."""
    try:
        return msgspec.json.decode(await request.get_data(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(f"the body is not what is asked for here: {error}") from None


async def answer_failure(error: ParparchikError) -> Response:
    """A failure that has a name: its status, its message, and when to ask again."""
    fail: Literal["fail"] | None = "fail" if request.path == "/relocate" else None
    response = as_json(documents.Problem(error.client_message, fail), status=error.status)
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = CHALLENGE.decode()
    return response


async def answer_not_persisted(error: PersistFailed) -> Response:
    log.error("manifests not persisted", reason=str(error))
    problem = documents.Problem("failed to persist manifests", "fail", filename())
    return as_json(problem, status=500)


async def answer_not_read(error: ManifestUnread) -> Response:
    """While the process starts: nothing has failed, and asking again helps."""
    response = as_json(documents.Problem(str(error), "fail", filename()), status=503)
    response.headers["Retry-After"] = "1"
    return response


async def answer_refusal(error: HTTPException) -> Response:
    """What Quart itself refuses."""
    return as_json(documents.Problem((error.name or "error").lower()), status=error.code or 500)


async def answer_crash(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return as_json(documents.Problem("internal server error"), status=500)
