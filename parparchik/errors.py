"""One tree of errors: the client's fault, the upstream's, the operator's.

Every error carries the HTTP status that a client sees, and a message; no message ever holds a
secret, a signature or a credential. The distinction that matters most is between *absent* and *not
known*: only S3's 404 is an absence, and it is a value (None), not an error. Everything under
`UpstreamError` means "S3 could not tell", and never removes anything.
"""

from __future__ import annotations

from typing import ClassVar


class ParparchikError(Exception):
    """Root of the tree. `status` is the HTTP status, `str(error)` a message fit for the log."""

    status: ClassVar[int] = 500

    @property
    def client_message(self) -> str:
        """What a client may read of it: the message, unless that tells of this host."""
        return str(self)


class ConfigError(ParparchikError):
    """The operator's settings cannot work; the message names the setting and the mend."""


class ClientError(ParparchikError):
    """The request is at fault; asking again unchanged will not help."""

    status = 400


class BadTarget(ClientError):
    """The request target names no possible key (S3 key rules; RFC 3986 section 2.1)."""


class BadDigest(ClientError):
    """The body is not what its digest or its length says."""


class Unauthorized(ClientError):
    """The caller has shown no API key, or a wrong one (RFC 9110 section 15.5.2)."""

    status = 401


class Forbidden(ClientError):
    """Nobody may do this here, whoever asks (RFC 9110 section 15.5.4)."""

    status = 403


class Conflicting(ClientError):
    """The request contradicts what is stored (RFC 9110 section 15.5.10)."""

    status = 409


class ConditionFailed(ClientError):
    """The caller's own condition does not hold (RFC 9110 section 15.5.13)."""

    status = 412


class TooLarge(ClientError):
    """The body is larger than is taken (RFC 9110 section 15.5.14)."""

    status = 413


class TooSlow(ClientError):
    """The body does not come, or not fast enough (RFC 9110 section 15.5.9)."""

    status = 408


class OutOfRange(ClientError):
    """No byte of the object lies in the range (RFC 9110 section 15.5.17). `size_bytes` is the
    object's, -1 where S3 did not say."""

    status = 416

    def __init__(self, message: str, *, size_bytes: int = -1) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class Unsupported(ClientError):
    """What is asked for has a meaning that we do not give it; to do less or something else would
    be wrong (RFC 9110 section 15.6.2)."""

    status = 501


class ClientGone(ParparchikError):
    """The client has closed the connection before its request was complete; nobody reads the
    answer."""

    status = 499


class UpstreamError(ParparchikError):
    """S3, or what stands before it, gave no usable answer. Never an absence."""

    status = 502


class Unavailable(UpstreamError):
    """S3 cannot be reached, does not answer in time, or says 5xx or slow down.

    `retry_after_s` goes to the client (RFC 9110 section 10.2.3).
    """

    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """A bounded queue of ours is full; S3 was not asked."""


class NoCredentials(Unavailable):
    """No source yields credentials at present, or the last good ones have expired.

    The message says which sources were asked, by file, role and address; that is for operators.
    """

    @property
    def client_message(self) -> str:
        return "no valid S3 credentials at present"


class UpstreamTimeout(UpstreamError):
    """A server that we stand before did not answer in time (RFC 9110 section 15.6.5)."""

    status = 504


class Truncated(UpstreamError):
    """S3 broke off within a body, or sent another than it had announced."""


class Denied(UpstreamError):
    """S3 answered 403: the credentials, the policy or the clock is wrong, or, for callers that
    may not list the bucket, the key does not exist (S3 API reference, HeadObject, Permissions)."""


class CredentialsRefused(Denied):
    """S3 answered 403 for the signature's sake: a wrong key, secret or clock. No permission that
    could be granted would help."""


class WrongRegion(UpstreamError):
    """The bucket lives in `region`, not where it was asked for (301, or 400 with a region)."""

    def __init__(self, message: str, *, region: str) -> None:
        super().__init__(message)
        self.region = region


class PreconditionFailed(UpstreamError):
    """A conditional write lost: 412, or 409 ConditionalRequestConflict."""


class NotSupported(UpstreamError):
    """The S3 server does not implement what was asked of it (501, or its 400 NotImplemented)."""


class NoBucket(UpstreamError):
    """S3 says that the bucket itself does not exist (404 NoSuchBucket): a setting is wrong, so
    nothing can be concluded about a key."""


class MetadataUnavailable(Unavailable):
    """The database that knows which files there are does not work at present.

    The message says which, and what to do about it; that is for operators.
    """

    @property
    def client_message(self) -> str:
        return "the metadata store does not work at present"


class ClaimLost(Unavailable):
    """A claim on content has run out before what it was for was done; nothing was changed."""


class PathConflict(Conflicting):
    """A file below a file, or a folder named like a file."""
