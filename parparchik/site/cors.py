"""Cross-origin requests (Fetch standard, section 3.2): who may read, and what to say to a browser
that asks first. Pure."""

from __future__ import annotations

from parparchik.model import Answer, Headers, Request
from parparchik.site.pages import KIND

METHODS = b"GET, HEAD, OPTIONS"
PREFLIGHT_GOOD_FOR_S = 7200  # no browser believes more

_ANY = "*"
# Those beyond the standard's safelist; a `*` would not cover Authorization.
_MAY_BE_SENT = (
    b"authorization, x-api-key, range, if-range, if-match, if-none-match, "
    b"if-modified-since, if-unmodified-since, cache-control"
)
_MAY_BE_READ = b"accept-ranges, age, content-encoding, content-range, etag, x-cache"


class CORS:
    """`origins` as browsers write them, or `*`; empty: nothing is said of origins at all."""

    __slots__ = ("_any", "_origins")

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = _ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    @property
    def varies(self) -> bool:
        """Whether answers depend on the origin. Then `Vary` says so to origins without permission
        too: a cache must not give them the others'."""
        return bool(self._origins) and not self._any

    def headers(self, request: Request) -> Headers:
        """What every answer to `request` carries."""
        if not self._origins:
            return ()
        origin = b"*" if self._any else request.header(b"origin")
        if not self._any and origin not in self._origins:
            return ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _MAY_BE_READ),
        )

    def options(self, request: Request) -> Answer:
        """The answer to OPTIONS: to a preflight, what is allowed, where the origin is."""
        headers: list[tuple[bytes, bytes]] = [(b"allow", METHODS)]
        if self.varies:
            headers.append((b"vary", b"origin"))
        allowed = self.headers(request)
        if allowed and request.header(b"access-control-request-method"):
            headers += [
                allowed[0],
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", _MAY_BE_SENT),
                (b"access-control-max-age", b"%d" % PREFLIGHT_GOOD_FOR_S),
            ]
        return Answer(204, tuple(headers), kind=KIND)
