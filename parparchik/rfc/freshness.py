"""How long an answer may be served again, and how old it is (RFC 9111 sections 3, 4.2, 5.1).

As a shared cache counts: one that serves many clients.
"""

from __future__ import annotations

from parparchik.rfc.cache_control import FOREVER_S, CacheControl, parse_delta_seconds
from parparchik.rfc.dates import parse_http_date


def may_be_shared(control: CacheControl) -> bool:
    """Whether a shared cache may keep it at all (section 3)."""
    return not (control.no_store or control.private)


def freshness_lifetime_s(control: CacheControl, expires: str, date_s: float) -> int | None:
    """For how many seconds after `date_s`, when the origin made it, it is fresh; None where the
    origin does not say (section 4.2.1). 0 where it must be revalidated before every use.

    `expires` is the field's value, '' if there is none; one that is no date, `0` above all, means
    that it has expired (section 5.3).
    """
    if control.no_cache or control.no_store or control.private:
        return 0
    if control.s_maxage_s is not None:
        return control.s_maxage_s
    if control.max_age_s is not None:
        return control.max_age_s
    if not expires:
        return None
    try:
        expires_at_s = parse_http_date(expires.strip(" \t"), now_s=date_s)
    except ValueError:
        return 0
    return min(max(0, int(expires_at_s - date_s)), FOREVER_S)


def parse_age(text: str) -> int:
    """Age, of which only the first member counts; 0 for what is none (section 5.1)."""
    return parse_delta_seconds(text.partition(",")[0].strip(" \t")) or 0
