"""What a client says that the bytes it sends have for a digest. Pure.

Content-MD5 (RFC 1864), Content-Digest (RFC 9530), and S3's own headers for SHA-256. What is named
in several of them has to agree.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from typing import NamedTuple

from parparchik.errors import BadDigest, ClientError, Unsupported
from parparchik.model import Request

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
# A member of a dictionary (RFC 8941 section 3.2) whose value is a byte sequence.
_MEMBER = re.compile(rb"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;.*)?")
_SHA256 = b"sha-256"


class Digests(NamedTuple):
    """Raw; b'' where the client says nothing."""

    md5: bytes
    sha256: bytes


def announced(request: Request) -> Digests:
    """Raises ClientError for a digest that is none, Unsupported for a body that is more than the
    object's bytes, and BadDigest where two cannot both be true."""
    md5 = request.header(b"content-md5")
    named = {
        *_of_s3(request.header(b"x-amz-content-sha256")),
        *_base64("x-amz-checksum-sha256", request.header(b"x-amz-checksum-sha256"), 32),
        *_of_content_digest(request.header(b"content-digest")),
    }
    if len(named) > 1:
        raise BadDigest("the request names two different SHA-256 of its body")
    return Digests(next(_base64("Content-MD5", md5, 16), b""), named.pop() if named else b"")


def _of_s3(value: bytes) -> Iterator[bytes]:
    if value.startswith(b"STREAMING-"):
        raise Unsupported("a body in signed chunks (aws-chunked) is not understood here")
    if value not in (b"", b"UNSIGNED-PAYLOAD"):
        if not _HEX.fullmatch(value):
            raise ClientError("x-amz-content-sha256 is not 64 hexadecimal digits")
        yield bytes.fromhex(value.decode())


def _of_content_digest(value: bytes) -> Iterator[bytes]:
    """The SHA-256 of a Content-Digest; other algorithms are passed over (RFC 9530 section 2)."""
    last = b""
    for member in value.split(b","):
        name, _, _ = member.strip().partition(b"=")
        if name == _SHA256:
            found = _MEMBER.fullmatch(member.strip())
            if found is None or not found[2]:
                raise ClientError("Content-Digest: sha-256 is not of the form sha-256=:<base64>:")
            last = found[2]
    yield from _base64("Content-Digest", last, 32)


def _base64(name: str, value: bytes, size_bytes: int) -> Iterator[bytes]:
    if not value:
        return
    try:
        digest = b64decode(value, validate=True)
    except Base64Error:
        digest = b""
    if len(digest) != size_bytes:
        raise ClientError(f"{name} is not the base64 of {size_bytes} bytes")
    yield digest
