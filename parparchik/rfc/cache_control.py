"""The Cache-Control field of an answer (RFC 9111 section 5.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

FOREVER_S = 2**31
"""What larger numbers of seconds are read as (RFC 9111 section 1.2.2)."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
# What parts directives is passed over by itself: as a part of their pattern it would be read again
# from every comma of a long run.
_BETWEEN = re.compile(r"[ \t,]*")
_DIRECTIVE = re.compile(rf'({_TOKEN})(?:=({_TOKEN}|"(?:[^"\\]|\\.)*"))?[ \t]*(?=,|\Z)')
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class CacheControl:
    """What a shared cache does by; durations in seconds, None where nothing is said.

    A number that is none reads as 0: what cannot be understood is stale (section 4.2.1). Of a
    directive that is given twice the first counts (likewise). `private` and `no_cache` are true
    also where they name fields only: that is what most caches make of it (section 5.2.2.4).
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    immutable: bool = False
    no_transform: bool = False
    max_age_s: int | None = None
    s_maxage_s: int | None = None
    stale_while_revalidate_s: int | None = None
    stale_if_error_s: int | None = None

    @property
    def forbids_stale(self) -> bool:
        """Whether a shared cache may not serve it when stale, not even while the origin is away
        (sections 4.2.4, 5.2.2.2, 5.2.2.8, 5.2.2.10)."""
        return (
            self.must_revalidate
            or self.proxy_revalidate
            or self.no_cache
            or self.s_maxage_s is not None
        )


@lru_cache(maxsize=256)
def parse_cache_control(text: str) -> CacheControl:
    """The directives of a field value, several lines joined by commas. Never raises: what is no
    directive is passed over, up to the next comma; so are directives that are not known."""
    given: dict[str, str | None] = {}
    at = _end(_BETWEEN, text, 0)
    while at < len(text):
        found = _DIRECTIVE.match(text, at)
        if found is None:
            comma = text.find(",", at)
            at = len(text) if comma < 0 else comma
        else:
            given.setdefault(found[1].lower(), found[2])
            at = found.end()
        at = _end(_BETWEEN, text, at)
    return CacheControl(
        no_store="no-store" in given,
        no_cache="no-cache" in given,
        private="private" in given,
        public="public" in given,
        must_revalidate="must-revalidate" in given,
        proxy_revalidate="proxy-revalidate" in given,
        immutable="immutable" in given,
        no_transform="no-transform" in given,
        max_age_s=_seconds(given, "max-age"),
        s_maxage_s=_seconds(given, "s-maxage"),
        stale_while_revalidate_s=_seconds(given, "stale-while-revalidate"),
        stale_if_error_s=_seconds(given, "stale-if-error"),
    )


def parse_delta_seconds(text: str) -> int | None:
    """A number of seconds; None for what is none (RFC 9111 section 1.2.2)."""
    if not _SECONDS.fullmatch(text):
        return None
    digits = text.lstrip("0")
    return FOREVER_S if len(digits) > 10 else min(int(digits or "0"), FOREVER_S)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Of what always matches there."""
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _seconds(given: dict[str, str | None], name: str) -> int | None:
    if name not in given:
        return None
    # The quoted form is not to be sent and must be understood (section 5.2).
    return parse_delta_seconds((given[name] or "").strip('"')) or 0
