"""One question: what is the answer to this request? Asked here by every plane.

`respond_nowait` answers from memory or says that it cannot; `respond` waits for S3. No framework
and no socket is known here, and S3 only as whoever signs a URL.

A redirect that was prepared is kept with the entry it was made from. It answers again as long as
the registry still gives that very entry, and, for a presigned URL, until a twentieth of the URL's
life has passed: so every client gets at least nineteen twentieths of it.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from parparchik.config.model import AuthConfig, RoutesConfig
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Entry, Method, ObjectStore, Request
from parparchik.registry import Resolution
from parparchik.routes import answers
from parparchik.routes.authorize import Authenticator
from parparchik.routes.target import Namespaces, Target, path_of

_REUSE_SHARE = 20


class Lookup(Protocol):
    """Where a key is; `registry.Service` is one."""

    def resolve_nowait(self, key: str) -> Resolution | None: ...

    async def resolve(self, key: str) -> Resolution: ...


class _Prepared:
    """The redirect of one method and path, ready to be sent again for `reuse_s`."""

    __slots__ = ("_by_freshness", "entry", "location", "made_at_s", "reuse_s", "target")

    def __init__(
        self, target: Target, entry: Entry, location: str, made_at_s: float, reuse_s: float
    ) -> None:
        self.target = target
        self.entry = entry
        self.location = location
        self.made_at_s = made_at_s
        self.reuse_s = reuse_s
        self._by_freshness: dict[bool | None, Answer] = {}

    def serves(self, entry: Entry, now_s: float) -> bool:
        """Not when younger than nothing either: a clock that was set back has signed for another
        time."""
        return (self.entry is entry or self.entry == entry) and (
            0 <= now_s - self.made_at_s < self.reuse_s
        )

    def answer(self, fresh: bool | None) -> Answer:
        """The redirect with its X-Parparchik-Verified."""
        answer = self._by_freshness.get(fresh)
        if answer is None:
            answer = self._by_freshness[fresh] = answers.redirect(
                self.location,
                kind=_kind(self.target),
                private=not self.entry.bucket.public,
                verified=fresh,
            )
        return answer


class Responder:
    """Answers GET and HEAD of file routes. Never raises a ParparchikError: it is the answer."""

    def __init__(
        self,
        lookup: Lookup,
        stores: Sequence[ObjectStore],
        config: RoutesConfig,
        auth: AuthConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._resolve_nowait = lookup.resolve_nowait
        self._resolve = lookup.resolve
        self._stores = {store.bucket.name: store for store in stores}
        self._namespaces = Namespaces([store.bucket for store in stores])
        self._config = config
        self._authenticator = Authenticator(auth)
        self._now = now
        self._prepared: dict[Method, OrderedDict[bytes, _Prepared]] = {
            "GET": OrderedDict(),
            "HEAD": OrderedDict(),
        }

    def respond_nowait(self, request: Request) -> Answer | None:
        """The answer, if it needs no waiting; None means `respond`."""
        path = path_of(request.target)
        prepared = self._prepared[request.method].get(path)
        try:
            target = self._namespaces.parse(path) if prepared is None else prepared.target
        except ParparchikError as error:
            return answers.failure(error, kind="invalid")
        if not target.key or target.namespace is None:
            return answers.not_found(target.route, kind=_kind(target))
        resolution = self._resolve_nowait(target.key)
        return None if resolution is None else self._answer(request, path, target, resolution)

    async def respond(self, request: Request) -> Answer:
        """The answer, S3 asked where that must be."""
        answer = self.respond_nowait(request)
        if answer is not None:
            return answer
        path = path_of(request.target)
        target = self._namespaces.parse(path)
        try:
            resolution = await self._resolve(target.key)
        except ParparchikError as error:
            if not self._permits(request, target, None):
                return answers.unauthorized(kind=_kind(target))
            return answers.failure(error, kind=_kind(target))
        return self._answer(request, path, target, resolution)

    def _permits(self, request: Request, target: Target, entry: Entry | None) -> bool:
        """Permission follows the object; where there is none, the URL, so that who may not see
        private files does not learn from it which of them exist."""
        namespace = target.namespace
        public = entry.bucket.public if entry else namespace is None or namespace.public
        return public or self._authenticator.allows(request.api_key)

    def _answer(
        self, request: Request, path: bytes, target: Target, resolution: Resolution
    ) -> Answer:
        entry, namespace = resolution.entry, target.namespace
        if entry and namespace and self._config.strict and not namespace.is_route_of(entry):
            entry = None
        if not self._permits(request, target, entry):
            return answers.unauthorized(kind=_kind(target))
        if entry is None:
            return answers.not_found(target.route, kind=_kind(target))
        cache, now_s = self._prepared[request.method], self._now()
        prepared = cache.get(path)
        if prepared is None or not prepared.serves(entry, now_s):
            try:
                prepared = cache[path] = self._prepare(request.method, target, entry, now_s)
            except ParparchikError as error:
                return answers.failure(error, kind=_kind(target))
        cache.move_to_end(path)
        if len(cache) > self._config.prepared_max:
            cache.popitem(last=False)
        return prepared.answer(resolution.fresh if self._config.verified_header else None)

    def _prepare(self, method: Method, target: Target, entry: Entry, now_s: float) -> _Prepared:
        """Raises NoCredentials."""
        store = self._stores[entry.bucket.name]
        if entry.bucket.public:
            return _Prepared(target, entry, store.public_url(entry.key), now_s, math.inf)
        # Signed for the method asked: S3 refuses a HEAD on a URL that was signed for GET.
        signed = store.presign(method, entry.key, expires_s=self._config.presign_expires_s)
        life_s = signed.expires_at_s - now_s
        return _Prepared(target, entry, signed.url, now_s, life_s / _REUSE_SHARE)


def _kind(target: Target) -> str:
    return "unknown" if target.namespace is None else target.namespace.kind
