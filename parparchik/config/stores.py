"""Parsers of what the dedup store stands on.

The same rules as in `values`: a ValueError says what was expected and never repeats the value.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_DATABASE = re.compile(r"/[0-9]{0,5}")


def metadata_url(raw: object) -> str:
    """`sqlite:///relative`, `sqlite:////absolute`, or `redis[s]://[user:password@]host[:port]/0`."""
    url = raw.strip() if isinstance(raw, str) else ""
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or not url.isprintable():
        raise ValueError(_METADATA_EXPECTED)
    if scheme.lower() == "sqlite":
        if not rest.startswith("/") or rest.endswith("/"):
            raise ValueError(_METADATA_EXPECTED)
        return f"sqlite://{rest}"
    if scheme.lower() not in ("redis", "rediss") or not _is_redis(url):
        raise ValueError(_METADATA_EXPECTED)
    return f"{scheme.lower()}://{rest}"


_METADATA_EXPECTED = "expected sqlite:///file.db or redis://host:6379/0"


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    known = not parts.path or _DATABASE.fullmatch(parts.path) is not None
    return usable and known and not parts.fragment


def upstream_url(raw: object) -> str:
    """The URL of a filetracker server, without a slash at its end; '' is none."""
    url = raw.strip() if isinstance(raw, str) else "?"
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(_UPSTREAM_EXPECTED)
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError(_UPSTREAM_EXPECTED)
    return url.rstrip("/")


_UPSTREAM_EXPECTED = "expected the URL of a filetracker server, such as http://host:9999"
