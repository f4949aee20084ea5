"""What an answer that is not a success means, and what the operator should do about it.

S3 names its errors by a code in the body; where there is no code (a HEAD has no body, a proxy
answers in HTML) the status must do. The tables below are the whole knowledge; everything raised
here is an `UpstreamError`, and `Transient` where it makes sense to ask again. S3's own message
stays out of ours: it names accounts and roles, and ours may be shown to anybody.

Codes: Amazon S3 API reference, "Error responses".
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Literal

import httpx

from parparchik.errors import (
    CredentialsRefused,
    Denied,
    NoBucket,
    NotSupported,
    Overloaded,
    PreconditionFailed,
    UpstreamError,
    WrongRegion,
)
from parparchik.rfc import parse_http_date
from parparchik.s3.response import Reply
from parparchik.s3.retry import NoAnswer, Transient
from parparchik.s3.xml import S3ErrorBody, parse_error

Operation = Literal[
    "head", "get", "put", "list",
    "delete", "delete_many", "create_upload", "upload_part", "complete_upload", "abort_upload",
]  # fmt: skip

_PERMISSIONS: dict[Operation, str] = {
    "head": "s3:GetObject (and s3:ListBucket)",
    "get": "s3:GetObject",
    "put": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
    "delete_many": "s3:DeleteObject",
    "create_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_upload": "s3:PutObject",
    "abort_upload": "s3:AbortMultipartUpload",
}
_TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_TRANSIENT_STATUSES = frozenset({408, 429, *range(500, 600)} - {501, 505})
_CREDENTIALS_CODES = {
    "ExpiredToken": "they have expired",
    "InvalidAccessKeyId": "the access key is unknown: check AWS_ACCESS_KEY_ID",
    "InvalidToken": "the session token is wrong: check AWS_SESSION_TOKEN",
    "SignatureDoesNotMatch": "the secret does not fit the access key: check AWS_SECRET_ACCESS_KEY",
    "TokenRefreshRequired": "they have expired",
}
_PRECONDITION_CODES = frozenset({"ConditionalRequestConflict", "PreconditionFailed"})
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?=[/?#]|$)")
_REGION_CODES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "IncorrectEndpoint",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that is not a success. `code` is '' where S3 gave none, `region` where S3 did not
    say in which one the bucket is."""

    status: int
    code: str = ""
    region: str = ""
    location: str = ""
    retry_after_s: int | None = None
    size_bytes: int = -1  # the object's, beside the refusal of a range

    @classmethod
    def of(cls, reply: Reply, *, now_s: float) -> Rejection:
        body = parse_error(reply.body) if reply.body else None
        region = reply.headers.get(b"x-amz-bucket-region", b"").decode("latin-1")
        return cls(
            status=reply.status,
            code=(body or S3ErrorBody("")).code,
            region=region or (body and body.region) or "",
            location=reply.headers.get(b"location", b"").decode("latin-1"),
            retry_after_s=_retry_after_s(reply.headers.get(b"retry-after"), now_s),
            size_bytes=(body or S3ErrorBody("")).size_bytes,
        )

    @property
    def text(self) -> str:
        return f"{self.status} {self.code}".rstrip()

    @property
    def says_no_key(self) -> bool:
        """The one answer that is an absence."""
        return self.status == 404 and self.code == "NoSuchKey"

    @property
    def says_denied(self) -> bool:
        """Denied by permissions, and not for a wrong clock or secret."""
        return self.status == 403 and self.code == "AccessDenied"

    @property
    def transient(self) -> bool:
        return self.code in _TRANSIENT_CODES or (
            self.status in _TRANSIENT_STATUSES and self.code != "NotImplemented"
        )


def error_of(rejection: Rejection, operation: Operation, bucket: str, region: str) -> UpstreamError:
    """The error to raise. `region` is the one that was asked."""
    what = _what(operation, bucket)
    status, code = rejection.status, rejection.code
    if code == "NoSuchBucket":
        return NoBucket(f"S3 knows no bucket {bucket!r}")
    if rejection.transient:
        return Transient(
            f"S3 answered {rejection.text} to {what}", retry_after_s=rejection.retry_after_s
        )
    if code in _PRECONDITION_CODES or status == 412:
        return PreconditionFailed(f"S3 answered {rejection.text} to {what}: it has changed")
    if operation in ("put", "complete_upload") and code == "NoSuchKey":
        return PreconditionFailed(f"S3 answered {rejection.text} to {what}: it is gone")
    if code == "NotImplemented" or status == 501:
        return NotSupported(f"the S3 server does not support this {what}")
    if code == "RequestTimeTooSkewed":
        return CredentialsRefused(
            f"S3 refused {what}: this host's clock is wrong ({code}); set it by NTP"
        )
    if code in _CREDENTIALS_CODES:
        return CredentialsRefused(
            f"S3 refused the credentials for {what} ({code}): {_CREDENTIALS_CODES[code]}"
        )
    if (code in _REGION_CODES or status in (301, 307, 400)) and rejection.region not in (
        "",
        region,
    ):
        return WrongRegion(
            f"bucket {bucket!r} is in region {rejection.region}, not in {region}: "
            f"set AWS_REGION={rejection.region}, or the bucket's own region",
            region=rejection.region,
        )
    if 300 <= status < 400:
        return UpstreamError(_redirect_text(what, rejection.location))
    if status == 403:
        return Denied(_denied_text(what, operation, code))
    return UpstreamError(f"S3 answered {rejection.text} to {what}")


def unreachable(error: httpx.HTTPError, operation: Operation, bucket: str) -> UpstreamError:
    """What it means that there was no answer, or none that could be understood."""
    what = _what(operation, bucket)
    if isinstance(error, httpx.PoolTimeout):
        return Overloaded(f"no connection to S3 was free for {what}: {error}")
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NoAnswer(f"{what} failed: {error}; AWS_CA_BUNDLE names whom to trust")
        cause = cause.__cause__
    if isinstance(error, httpx.TransportError):
        return Transient(f"{what} failed: {error}")
    return UpstreamError(f"{what} failed: {error}")


def _what(operation: Operation, bucket: str) -> str:
    return f"{operation.upper().replace('_', ' ')} in bucket {bucket!r}"


def _denied_text(what: str, operation: Operation, code: str) -> str:
    text = f"S3 denied {what} ({code or '403'}): grant {_PERMISSIONS[operation]}"
    if operation == "head":
        text += (
            ". Who may not s3:ListBucket is denied missing keys too: "
            "PARPARCHIK_DENIED_IS_MISSING=true takes them for missing"
        )
    return text


def _redirect_text(what: str, location: str) -> str:
    """Redirects are never followed: they would take signatures to who knows whom."""
    origin = _ORIGIN.match(location)
    where = origin[0] if origin else "nowhere"
    return (
        f"the S3 endpoint redirects {what} to {where}, which is not followed: "
        "check S3_ENDPOINT and AWS_REGION"
    )


def _retry_after_s(value: bytes | None, now_s: float) -> int | None:
    """Retry-After in its two forms, whole seconds from now (RFC 9110 section 10.2.3)."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        return max(0, int(parse_http_date(text, now_s=now_s) - now_s))
    except ValueError:
        return None
