"""The JSON that metadata endpoints and credential processes answer with.

Both say the same under slightly different names. What is missing or malformed is named, what was
sent is never quoted: it may be a secret.
"""

from __future__ import annotations

import msgspec

from parparchik.rfc import parse_iso8601
from parparchik.s3.credentials.source import SourceError
from parparchik.s3.sigv4 import Credentials


class _EndpointReply(msgspec.Struct, rename="pascal"):
    """AWS, "Retrieve security credentials from instance metadata", and "Container credential
    provider": `Code` is there when the former has something to say."""

    access_key_id: str | None = None
    secret_access_key: str | None = None
    token: str | None = None
    expiration: str | None = None
    code: str | None = None


class _ProcessReply(msgspec.Struct, rename="pascal"):
    """AWS, "Process credential provider"."""

    version: int | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    expiration: str | None = None


_endpoint_decoder = msgspec.json.Decoder(_EndpointReply)
_process_decoder = msgspec.json.Decoder(_ProcessReply)


def parse_endpoint_reply(data: bytes) -> Credentials:
    """Temporary credentials: all four fields are required. Raises SourceError."""
    try:
        reply = _endpoint_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SourceError("the answer is not the JSON it should be") from None
    if reply.code not in (None, "Success"):
        # IMDS says so with status 200, of a role that EC2 may not assume for instance.
        code = reply.code if reply.code and reply.code.isalnum() else "a failure"
        raise SourceError(f"the answer reports {code:.80}")
    return _credentials(
        reply.access_key_id,
        reply.secret_access_key,
        _required("Token", reply.token),
        _required("Expiration", reply.expiration),
    )


def parse_process_reply(data: bytes) -> Credentials:
    """What a credential process printed; without Expiration it is for good. Raises SourceError."""
    try:
        reply = _process_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SourceError("it printed something other than the JSON it should") from None
    if reply.version != 1:
        raise SourceError("it printed another Version than 1, which is the only one known")
    return _credentials(
        reply.access_key_id, reply.secret_access_key, reply.session_token, reply.expiration
    )


def _credentials(
    access_key_id: str | None,
    secret_access_key: str | None,
    session_token: str | None,
    expiration: str | None,
) -> Credentials:
    try:
        expires_at_s = parse_iso8601(expiration) if expiration else None
    except ValueError:
        raise SourceError("the answer's Expiration is not an ISO 8601 time") from None
    return Credentials(
        _required("AccessKeyId", access_key_id),
        _required("SecretAccessKey", secret_access_key),
        session_token or None,
        expires_at_s,
    )


def _required(name: str, value: str | None) -> str:
    if not value:
        raise SourceError(f"the answer holds no {name}")
    return value
