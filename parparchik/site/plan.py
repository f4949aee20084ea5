"""From steps as they are decided to steps that can be taken, for one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from parparchik.cache import Cache, Policy
from parparchik.config.model import SiteConfig
from parparchik.content import Folder, ObjectName
from parparchik.delivery import Serving, Wishes, read_wishes
from parparchik.model import Answer, Headers, Request
from parparchik.rfc import IDENTITY, choose_coding
from parparchik.site import listing, pages
from parparchik.site.accept import navigates, prefers_json
from parparchik.site.folders import Folders
from parparchik.site.paths import Place
from parparchik.site.steps import Step, steps_for
from parparchik.site.taking import (
    AddedSlash,
    ErrorPage,
    FolderStep,
    Looks,
    Precompressed,
    Served,
    Taken,
)

_SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""Of what stands precompressed beside an object, by its coding; ours first."""


class _Asked(NamedTuple):
    request: Request
    wishes: Wishes
    place: Place
    token: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site knows. `policy` is its own, `compress_min_bytes` None where nothing is
    compressed."""

    config: SiteConfig
    bucket: str
    cache: Cache
    delivery: Looks
    policy: Policy
    folders: Folders
    compress_min_bytes: int | None
    hides: Callable[[str], bool]

    def steps(
        self, request: Request, place: Place, token: str | None, headers: Headers
    ) -> Iterator[Taken]:
        """In the order of `steps`; made one by one. `headers` are for every answer, `token` is of
        the page of a listing."""
        config = self.config
        asked = _Asked(request, read_wishes(request), place, token)
        goes = bool(config.spa) and navigates(request)
        exact = True
        for step in steps_for(config, place, navigates=goes):
            if not self.hides(step.key):
                yield from self._take(step, asked, headers)
            if exact and config.spa:
                # From here on it depends on who asks what there is.
                headers = (*headers, (b"vary", b"accept, sec-fetch-mode"))
            exact = False

    def redirect(self, place: Place, headers: Headers) -> Answer:
        location = (b"location", place.with_slash.encode("ascii"))
        max_age = (b"cache-control", b"max-age=%d" % self.policy.ttl_s)
        return Answer(301, (location, max_age, *headers), kind=pages.KIND)

    def _take(self, step: Step, asked: _Asked, headers: Headers) -> Iterator[Taken]:
        if step.do == "serve":
            serving = self._serving(step.key, headers)
            yield from self._precompressed(asked.wishes, serving)
            yield Served(self.delivery, asked.wishes, serving)
        elif step.do == "error_page":
            serving = replace(self._serving(step.key, headers), status=404)
            yield ErrorPage(Served(self.delivery, asked.wishes, serving))
        elif step.do == "add_slash":
            name = ObjectName(self.bucket, step.key)
            yield AddedSlash(self.cache, self.policy, name, self.redirect(asked.place, headers))
        elif step.do == "add_slash_to_folder":
            redirect = self.redirect(asked.place, headers)
            yield FolderStep(self.folders, step.key, None, lambda folder: redirect)
        else:
            as_json = prefers_json(asked.request)

            def show(folder: Folder) -> Answer:
                return self._listing(folder, asked.place, as_json=as_json, headers=headers)

            yield FolderStep(self.folders, step.key, asked.token, show)

    def _serving(self, key: str, headers: Headers) -> Serving:
        return Serving(
            ObjectName(self.bucket, key),
            self.policy,
            pages.KIND,
            headers=headers,
            compress_min_bytes=self.compress_min_bytes,
            default_max_age_s=self.policy.ttl_s,
        )

    def _precompressed(self, wishes: Wishes, plain: Serving) -> Iterator[Taken]:
        """Best liked by the client first."""
        if not self.config.precompressed:
            return
        left = dict(_SUFFIXES)
        while left and (coding := choose_coding(wishes.accept_encoding, left)) != IDENTITY:
            name = plain.name._replace(key=plain.name.key + left.pop(coding))
            coded = (b"content-encoding", coding.encode("ascii"))
            headers = (coded, *plain.headers)
            serving = replace(plain, name=name, compress_min_bytes=None, headers=headers)
            yield Precompressed(self.delivery, wishes, serving, self.cache, plain.name)

    def _listing(self, folder: Folder, place: Place, *, as_json: bool, headers: Headers) -> Answer:
        shown = listing.listing_of(
            folder,
            self.config.prefix + place.path,
            self.config.mount + place.path,
            is_root=not place.path,
            hides=self.hides,
        )
        render = listing.as_json if as_json else listing.as_html
        return render(shown, (*headers, (b"vary", b"accept")))
