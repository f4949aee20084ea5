"""What botocore signs, at a time of our choosing: the second opinion on every signature."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import strategies as st

from parparchik.s3.sigv4 import Credentials

text = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
regions = st.sampled_from(["us-east-1", "eu-central-1", "default", "my region/ž"])
times_s = st.floats(0, 7_000_000_000)
credentials = st.builds(
    Credentials,
    access_key_id=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30),
    secret_access_key=text,
    session_token=st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,200}", fullmatch=True),
)


class _AtTime:
    """A mixin that signs at `now_s`; botocore asks the clock, and then this."""

    now_s: float

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = (
            f"{datetime.fromtimestamp(int(self.now_s), UTC):%Y%m%dT%H%M%SZ}"
        )
        super()._modify_request_before_signing(request)  # type: ignore[misc]


class _HeaderAuth(_AtTime, S3SigV4Auth):  # type: ignore[misc]
    payload_hash: str

    def payload(self, _request: Any) -> str:
        return self.payload_hash


class _QueryAuth(_AtTime, S3SigV4QueryAuth):  # type: ignore[misc]
    pass


def signed_headers(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    *,
    payload_hash: str,
    credentials: Credentials,
    region: str,
    now_s: float,
) -> dict[str, str]:
    """The headers that botocore adds to a request for `url`, names in lower case."""
    auth = _HeaderAuth(_boto(credentials), "s3", region)
    auth.now_s = now_s
    auth.payload_hash = payload_hash
    request = AWSRequest(method, url)
    request.headers = HTTPHeaders()
    for name, value in headers:
        request.headers.add_header(name, value)
    auth.add_auth(request)
    added = ("authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token")
    return {name: request.headers[name] for name in added if name in request.headers}


def presigned_query(
    method: str,
    url: str,
    *,
    credentials: Credentials,
    region: str,
    now_s: float,
    expires_s: int,
) -> list[tuple[str, str]]:
    """The query, decoded and in order, of the URL that botocore makes of `url`."""
    auth = _QueryAuth(_boto(credentials), "s3", region, expires=expires_s)
    auth.now_s = now_s
    request = AWSRequest(method, url)
    auth.add_auth(request)
    return query_of(request.url)


def query_of(url: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _boto(credentials: Credentials) -> BotoCredentials:
    return BotoCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
