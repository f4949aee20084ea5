"""Presigned URLs: a signature in the query, so that a client with no credentials may follow it.

This runs for every private redirect that finds no prepared answer. Within one second all URLs of
a bucket share everything but method and path, so that common part is a memoised frame, and a URL
costs one SHA-256, one HMAC and a few joins.

Rules: AWS, "Authenticating Requests: Using Query Parameters (Signature Version 4)".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from parparchik.s3.sigv4 import (
    ALGORITHM,
    UNSIGNED_PAYLOAD,
    Credentials,
    Pairs,
    amz_date,
    canonical_query,
    credential_scope,
    encode_component,
    sign,
    signing_key,
)

MAX_EXPIRES_S = 7 * 86_400  # S3 refuses longer ones
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Presigner:
    """Signs URLs below one origin: `scheme://host[:port]`, without a path.

    `host` is the Host header that clients will send, which is what gets signed: lower case, and
    without the scheme's default port. Raises ValueError when `origin` is something else.
    """

    origin: str
    region: str
    service: str = "s3"
    host: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", _host_header(self.origin))

    def url(
        self,
        method: str,
        path: str,
        *,
        credentials: Credentials,
        now_s: float,
        expires_s: int,
        query: Pairs = (),
    ) -> str:
        """The URL that allows `method` on `path` until `expires_s` seconds after `now_s`.

        `path` (with its leading slash) and `query` are encoded already, and are not altered.
        A URL signed with temporary credentials also ends when these do. Raises ValueError for a
        life that S3 would refuse: under a second or over a week.
        """
        if query:
            frame = _frame(self, credentials, int(now_s), expires_s, tuple(query))
        else:
            frame = _shared_frame(self, credentials, int(now_s), expires_s)
        signature = sign(f"{method}\n{path}{frame.canonical_tail}", frame.preamble, frame.key)
        return f"{self.origin}{path}?{frame.query}&X-Amz-Signature={signature}"


def presign_url(
    method: str,
    base_url: str,
    path: str,
    *,
    credentials: Credentials,
    region: str,
    now_s: float,
    expires_s: int,
    query: Pairs = (),
) -> str:
    """`Presigner.url` for a single URL."""
    return Presigner(base_url, region).url(
        method, path, credentials=credentials, now_s=now_s, expires_s=expires_s, query=query
    )


class _Frame(NamedTuple):
    """What the URLs of one origin, second and life have in common."""

    query: str
    canonical_tail: str
    preamble: str
    key: bytes


def _frame(
    presigner: Presigner,
    credentials: Credentials,
    now_s: int,
    expires_s: int,
    query: tuple[tuple[str, str], ...] = (),
) -> _Frame:
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise ValueError(f"a presigned URL lives 1 to {MAX_EXPIRES_S} seconds, not {expires_s}")
    stamp = amz_date(now_s)
    scope = credential_scope(stamp, presigner.region, presigner.service)
    pairs = [
        *query,
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", encode_component(f"{credentials.access_key_id}/{scope}")),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(expires_s)),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if credentials.session_token:
        pairs.append(("X-Amz-Security-Token", encode_component(credentials.session_token)))
    encoded = canonical_query(pairs)
    return _Frame(
        query=encoded,
        canonical_tail=f"\n{encoded}\nhost:{presigner.host}\n\nhost\n{UNSIGNED_PAYLOAD}",
        preamble=f"{ALGORITHM}\n{stamp}\n{scope}\n",
        key=signing_key(
            credentials.secret_access_key, stamp[:8], presigner.region, presigner.service
        ),
    )


# A frame per bucket, life and second; a few seconds' worth of a few dozen buckets.
_shared_frame = lru_cache(maxsize=256)(_frame)


def _host_header(origin: str) -> str:
    parts = urlsplit(origin)
    host, port = parts.hostname, parts.port
    if parts.username is not None:
        raise ValueError("an origin holds no user name and no password")
    whole = f"{parts.scheme}://{parts.netloc}"
    if not host or parts.scheme not in _DEFAULT_PORTS or origin != whole:
        raise ValueError(f"not an origin (scheme://host[:port]): {origin!r}")
    if ":" in host:
        host = f"[{host}]"
    return host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
