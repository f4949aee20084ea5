"""One site: what a request to it asks, and what it does beside answering."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from parparchik.cache import Cache, Policy
from parparchik.config.model import SiteConfig
from parparchik.content import ObjectBytes, ObjectName
from parparchik.errors import BadTarget, ParparchikError, Unauthorized
from parparchik.model import Answer, Headers, Question, Request, Upload
from parparchik.routes import CHALLENGE, Authenticator, Settled
from parparchik.site import clear, listing, pages
from parparchik.site.accept import prefers_json
from parparchik.site.cors import CORS, METHODS
from parparchik.site.folders import Folders
from parparchik.site.paths import Place, parse
from parparchik.site.plan import Plan
from parparchik.site.question import SiteQuestion
from parparchik.site.taking import Looks


class Site:
    """`model.Mount`. `policy` is the cache's own, `compress_min_bytes` the size from which on
    answers are compressed. A key that `hides` is treated as one that is not there."""

    def __init__(
        self,
        config: SiteConfig,
        source: ObjectBytes,
        cache: Cache,
        delivery: Looks,
        *,
        policy: Policy,
        authenticator: Authenticator,
        compress_min_bytes: int | None = 1024,
        hides: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self.config = config
        self._cache = cache
        self._authenticator = authenticator
        self._cors = CORS(config.cors)
        self._folders = Folders(
            source,
            page_objects=listing.PAGE_OBJECTS,
            ttl_s=listing.CACHED_FOR_S,
            lists_per_second=config.listings_per_second,
        )
        self._plan = Plan(
            config,
            source.name,
            cache,
            delivery,
            policy_for(config, policy),
            self._folders,
            compress_min_bytes if config.compress else None,
            hides,
        )
        self._clearing = clear.CacheClearing(config.auth_key, self._clear)
        self._vary = _vary(config, self._cors)

    @property
    def methods(self) -> tuple[str, ...]:
        """DELETE is for clearing the cache alone."""
        return ("GET", "HEAD", "OPTIONS", "DELETE")

    def forget(self, names: Iterable[ObjectName], below: Iterable[tuple[str, str]]) -> None:
        """These objects have been changed, or those whose key begins so: (bucket, prefix). What
        the cache has of them is its own concern."""
        bucket = self._plan.bucket
        self._folders.forget(
            [name.key for name in names if name.bucket == bucket],
            [prefix for where, prefix in below if where == bucket],
        )

    def ask(self, request: Request) -> Question:
        headers = (*self._cors.headers(request), *self._vary)
        try:
            place = parse(request.target, self.config.mount)
            if place.path == clear.PATH:
                return clear.ClearQuestion(self._clearing, request)
            self._authorize(request)
            token = self._token(place)
        except Unauthorized as error:
            challenge = (b"www-authenticate", CHALLENGE)
            return Settled(_refusal(error, request, (challenge, *headers)))
        except BadTarget as error:
            return Settled(_refusal(error, request, headers))
        if place.above:
            return Settled(self._plan.redirect(place, headers))
        return SiteQuestion(request, self._plan.steps(request, place, token, headers), headers)

    async def act(self, request: Request, upload: Upload) -> Answer:
        if request.method == "OPTIONS":
            return self._cors.options(request)
        if self._is_clearing(request):
            return await self._clearing.answer(request)
        return pages.problem(
            405,
            "this is here to be read",
            as_json=prefers_json(request),
            headers=((b"allow", METHODS),),
        )

    def _authorize(self, request: Request) -> None:
        """A site that wants a key is closed where none is configured."""
        known = self._authenticator
        if self.config.needs_key and not (known.required and known.allows(request.api_key)):
            raise Unauthorized("an API key is needed: Authorization: Bearer, or X-API-Key")

    def _token(self, place: Place) -> str | None:
        """Of the page of a listing; None for the first, and for what is no listing. Raises
        BadTarget where queries are not wanted."""
        lists = self.config.listing and place.is_folder
        token = listing.page_token(place.query) if lists else None
        if place.query and token is None and self.config.reject_query_strings:
            raise BadTarget("the request has a query")
        return token

    def _is_clearing(self, request: Request) -> bool:
        try:
            return parse(request.target, self.config.mount).path == clear.PATH
        except BadTarget:
            return False

    async def _clear(self) -> int:
        self._folders.clear()
        return await self._cache.invalidate_prefix(self._plan.bucket, self.config.prefix)


def policy_for(site: SiteConfig, default: Policy) -> Policy:
    """What the site does not say is as `default` has it, save that absence is believed for as long
    as presence is."""
    ttl_s = default.ttl_s if site.ttl_s is None else site.ttl_s
    respects = site.respect_cache_control
    return replace(
        default,
        ttl_s=ttl_s,
        negative_ttl_s=ttl_s if site.negative_ttl_s is None else site.negative_ttl_s,
        respect_cache_control=default.respect_cache_control if respects is None else respects,
    )


def _vary(config: SiteConfig, cors: CORS) -> Headers:
    """What the answers of a site depend on beside its paths. With the keys named in it, no cache
    between us and the clients gives one client's answer to another."""
    names = [b"origin"] * cors.varies
    names += [b"accept-encoding"] * config.precompressed
    names += [b"authorization", b"x-api-key"] * config.needs_key
    return ((b"vary", b", ".join(names)),) if names else ()


def _refusal(error: ParparchikError, request: Request, headers: Headers) -> Answer:
    return pages.failure(error, as_json=prefers_json(request), headers=headers)
