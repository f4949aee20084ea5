"""Our own signing, bound to the gateway of the tests."""

from __future__ import annotations

import time

import httpx

from parparchik.s3.auth import SigV4Auth
from parparchik.s3.presign import Presigner
from parparchik.s3.sigv4 import Credentials, encode_key, encode_pairs
from parparchik.s3.xml import parse_error
from tests.real_s3.rgw import Rgw


def sign(rgw: Rgw, credentials: Credentials | None = None, *, skew_s: float = 0.0) -> SigV4Auth:
    """Header signing; as the owner, and by a clock that is right, unless told otherwise."""
    identity = credentials or rgw.owner.credentials
    return SigV4Auth(lambda: identity, rgw.region, now=lambda: time.time() + skew_s)


def url_of(rgw: Rgw, bucket: str, key: str = "") -> str:
    return f"{rgw.endpoint}/{bucket}/{encode_key(key)}"


def presign(
    rgw: Rgw,
    method: str,
    bucket: str,
    key: str = "",
    *,
    credentials: Credentials | None = None,
    age_s: float = 0.0,
    expires_s: int = 60,
    query: dict[str, str] | None = None,
) -> str:
    """A URL of the owner's, signed `age_s` ago."""
    return Presigner(rgw.endpoint, rgw.region).url(
        method,
        f"/{bucket}/{encode_key(key)}",
        credentials=credentials or rgw.owner.credentials,
        now_s=time.time() - age_s,
        expires_s=expires_s,
        query=encode_pairs((query or {}).items()),
    )


def assert_refused(response: httpx.Response, code: str, status: int = 403) -> None:
    assert response.status_code == status
    error = parse_error(response.content)
    assert error is not None
    assert error.code == code
