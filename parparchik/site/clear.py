"""Clearing a site's cache by HTTP, as s3-proxy has it, odd status and all."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256

import structlog

from parparchik.errors import ParparchikError
from parparchik.model import Answer, Request, Unfinished
from parparchik.site import pages

PATH = "_proxy/_private/_cache/clear"
"""Below the mount."""

METHODS = ("GET", "DELETE")

_DONE = Answer(304, kind=pages.KIND)

log = structlog.get_logger(__name__)


class CacheClearing:
    """Who shows `auth_key` may `clear`; with none configured nobody may."""

    def __init__(self, auth_key: str, clear: Callable[[], Awaitable[int]]) -> None:
        self._digest = sha256(auth_key.encode()).digest() if auth_key else None
        self._clear = clear

    def refusal(self, request: Request) -> Answer | None:
        """The key is compared as a digest, so in the same time whatever was guessed."""
        if request.method not in METHODS:
            allow = (b"allow", ", ".join(METHODS).encode())
            return pages.problem(405, "GET and DELETE clear", as_json=True, headers=(allow,))
        authorization = request.header(b"authorization").strip()
        if self._digest is None or not authorization:
            return pages.problem(403, "a key is needed", as_json=True)
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return pages.problem(400, "Authorization must be Bearer", as_json=True)
        if not hmac.compare_digest(sha256(key.strip()).digest(), self._digest):
            return pages.problem(403, "the key is wrong", as_json=True)
        return None

    async def answer(self, request: Request) -> Answer:
        if (refusal := self.refusal(request)) is not None:
            return refusal
        try:
            count = await self._clear()
        except ParparchikError as error:
            return pages.failure(error, as_json=True)
        log.info("cache cleared", objects=count)
        return _DONE


class ClearQuestion:
    """`model.Question`: every time that it is asked, the cache is cleared again."""

    __slots__ = ("_clearing", "_request")

    def __init__(self, clearing: CacheClearing, request: Request) -> None:
        self._clearing = clearing
        self._request = request

    def answer_nowait(self) -> Answer | None:
        return None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        return await self._clearing.answer(self._request)
