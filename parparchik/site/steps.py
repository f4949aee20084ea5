"""What may answer a place, in which order: a table of small decisions. Pure.

Each rule gives the step that it has for a place, or none; `steps_for` strings them together. No
rule knows of another, and none asks whether anything exists: that is for whoever takes the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from parparchik.config.model import SiteConfig
from parparchik.site.paths import Place

MAX_KEY_BYTES = 1024  # S3's; a longer key can't exist, and asking for it is an error there

Do = Literal["serve", "error_page", "add_slash", "add_slash_to_folder", "list"]


@dataclass(frozen=True, slots=True)
class Step:
    """`serve`: the object `key`. `error_page`: the same, with status 404. `add_slash`: redirect
    where the object `key` exists; `add_slash_to_folder`: where anything below `key` does. `list`:
    what lies below `key`. `key` is of the bucket."""

    do: Do
    key: str


def steps_for(site: SiteConfig, place: Place, *, navigates: bool) -> Iterator[Step]:
    """The steps for a place, `navigates` telling whether a person goes there (`accept`). Where all
    are absent, there is nothing."""
    for rule in _RULES:
        step = rule(site, place, navigates)
        if step is not None and len(step.key.encode()) <= MAX_KEY_BYTES:
            yield step


def _exact(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    return None if place.is_folder else Step("serve", site.prefix + place.path)


def _clean_url(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    if not site.clean_urls or place.is_folder or _has_extension(place):
        return None
    return Step("serve", f"{site.prefix}{place.path}.html")


def _index(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    if not place.is_folder or not site.index:
        return None
    return Step("serve", site.prefix + place.path + site.index)


def _add_slash(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    if place.is_folder or not site.index:
        return None
    return Step("add_slash", f"{site.prefix}{place.path}/{site.index}")


def _add_slash_to_folder(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    if place.is_folder or not site.listing:
        return None
    return Step("add_slash_to_folder", f"{site.prefix}{place.path}/")


def _listing(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    return Step("list", site.prefix + place.path) if place.is_folder and site.listing else None


def _spa(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    """A path with an extension is a file that is missing, not a page of the application."""
    if not site.spa or not navigates or _has_extension(place):
        return None
    return Step("serve", site.prefix + site.spa)


def _error_page(site: SiteConfig, place: Place, navigates: bool) -> Step | None:
    return Step("error_page", site.prefix + site.error) if site.error else None


_Rule = Callable[[SiteConfig, Place, bool], Step | None]

_RULES: tuple[_Rule, ...] = (
    _exact,
    _clean_url,
    _index,
    _add_slash,
    _add_slash_to_folder,
    _listing,
    _spa,
    _error_page,
)


def _has_extension(place: Place) -> bool:
    return "." in place.last_segment
