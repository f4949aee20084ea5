"""AWS Signature Version 4 as S3 wants it: pure text in, pure text out.

A signature is an HMAC, under a key derived for one day, region and service, of the *canonical
request*: method, path, sorted query, signed headers and payload hash, a line each. The server
builds the same text from what reached it and compares. S3 differs from other AWS services in one
point: the path is percent-encoded once, not twice, and dots and double slashes stay as they are.

So everything hangs on both sides encoding alike. There is one encoder here, and what it returns is
used on the wire *and* in the canonical request: all functions below take paths and queries that
are already encoded, and alter nothing.

Rules: AWS, "Authenticating Requests: Using the Authorization Header (Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from parparchik.rfc import format_iso8601

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_PAYLOAD_SHA256 = hashlib.sha256(b"").hexdigest()

_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with; the secret parts never print.

    `expires_at_s` is when AWS stops accepting them (wall clock); None for long-lived keys.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at_s: float | None = None


def encode_key(key: str | bytes) -> str:
    """An object key as a path: UTF-8, percent-encoded but for A-Z a-z 0-9 - . _ ~ and the slash.

    Raises UnicodeEncodeError (a ValueError) for lone surrogates, which are no text.
    """
    if isinstance(key, str) and _PLAIN.fullmatch(key):
        return key  # as nearly every one is
    return quote(key, safe="/")


def encode_component(text: str) -> str:
    """A query's name or value: as a key, but the slash is encoded too."""
    return quote(text, safe="")


def encode_pairs(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """Plain names and values to the encoded pairs that signing takes."""
    return tuple((encode_component(name), encode_component(value)) for name, value in pairs)


def canonical_query(pairs: Pairs) -> str:
    """Encoded pairs as one query, ordered by name, then value: fit for the wire as well."""
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def sign_headers(
    method: str,
    path: str,
    query: Pairs,
    headers: Pairs,
    *,
    payload_hash: str,
    credentials: Credentials,
    region: str,
    now_s: float,
    service: str = "s3",
) -> tuple[tuple[str, str], ...]:
    """The headers to add to a request so that S3 accepts it: date, payload hash, session token
    and Authorization, names in lower case.

    `path` and `query` (pairs) are encoded as on the wire. All of `headers` get signed, so they
    must be sent with these values, and `host` must be among them; a header that this function
    adds replaces one of that name. `payload_hash` is the body's SHA-256 in hex, or
    UNSIGNED_PAYLOAD.
    """
    stamp = amz_date(int(now_s))
    added = [("x-amz-content-sha256", payload_hash), ("x-amz-date", stamp)]
    if credentials.session_token:
        added.append(("x-amz-security-token", credentials.session_token))
    values: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        trimmed = " ".join(value.split())
        values[lower] = f"{values[lower]},{trimmed}" if lower in values else trimmed
    values.update(added)
    names = sorted(values)
    signed = ";".join(names)
    lines = "".join([f"{name}:{values[name]}\n" for name in names])
    scope = credential_scope(stamp, region, service)
    key = signing_key(credentials.secret_access_key, stamp[:8], region, service)
    signature = sign(
        f"{method}\n{path or '/'}\n{canonical_query(query)}\n{lines}\n{signed}\n{payload_hash}",
        f"{ALGORITHM}\n{stamp}\n{scope}\n",
        key,
    )
    authorization = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return (*added, ("authorization", authorization))


def sign(canonical_request: str, preamble: str, key: bytes) -> str:
    """The signature in hex. `preamble` is the string to sign without its last line, which is the
    canonical request's hash."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    return hmac.digest(key, (preamble + digest).encode(), "sha256").hex()


@lru_cache(maxsize=64)  # a burst asks for the same second; a memoised signature for an older one
def amz_date(time_s: int) -> str:
    """`20260505T100000Z`."""
    return format_iso8601(time_s).replace("-", "").replace(":", "")


def credential_scope(stamp: str, region: str, service: str) -> str:
    return f"{stamp[:8]}/{region}/{service}/aws4_request"


@lru_cache(maxsize=64)  # buckets' credentials times two days around midnight, and no more
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day (`20260505`), region and service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
