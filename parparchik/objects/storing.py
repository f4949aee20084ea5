"""What a PUT says of the object it stores. Pure.

Kept with the object are its type, the headers in `KEPT` and the user's metadata; they come back as
they came. A header by which S3 would do something else than store these bytes is refused: passed
over, it would leave behind what nobody asked for.
"""

from __future__ import annotations

import re

from parparchik.content import Storing
from parparchik.errors import ClientError, Unsupported
from parparchik.model import Request
from parparchik.objects.digests import announced

DEFAULT_TYPE = "application/octet-stream"
KEPT = (
    b"cache-control",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"expires",
)
METADATA = b"x-amz-meta-"
MAX_METADATA_BYTES = 2048  # S3: "the sum of the number of bytes in ... each key and value"
_REFUSED = (
    b"x-amz-acl",
    b"x-amz-copy-source",
    b"x-amz-grant-",
    b"x-amz-object-lock-",
    b"x-amz-server-side-encryption",
    b"x-amz-storage-class",
    b"x-amz-tagging",
    b"x-amz-website-redirect-location",
    b"x-amz-write-offset-bytes",
    b"if-modified-since",
    b"if-unmodified-since",
)
_TEXT = re.compile(rb"[\t\x20-\x7e]*")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 section 5.6.2


def storing_of(request: Request) -> Storing:
    """Raises ClientError for what cannot be stored as it is said, Unsupported for what is not done
    here."""
    for name, _ in request.headers:
        if name.startswith(_REFUSED):
            raise Unsupported(f"{name.decode('latin-1')} is not supported here")
    # RFC 9110 section 14.5: a PUT of a part, taken for a whole, would destroy the object.
    if request.header(b"content-range"):
        raise ClientError("a PUT stores a whole object: Content-Range is not taken")
    if b"aws-chunked" in request.header(b"content-encoding").lower():
        raise Unsupported("a body in signed chunks (aws-chunked) is not understood here")
    # S3 knows no other; RADOS Gateway would take one, and overwrite what it is to keep.
    if request.header(b"if-none-match") not in (b"", b"*"):
        raise Unsupported("If-None-Match of a PUT can only be *")
    md5, sha256 = announced(request)
    kept = ((name, request.header(name)) for name in KEPT)
    headers = [(name.decode(), _text(name, value)) for name, value in kept if value]
    return Storing(
        content_type=_text(b"content-type", request.header(b"content-type")) or DEFAULT_TYPE,
        headers=(*headers, *_metadata(request)),
        if_match=_text(b"if-match", request.header(b"if-match")),
        if_none_match=_text(b"if-none-match", request.header(b"if-none-match")),
        md5=md5,
        sha256=sha256,
    )


def _metadata(request: Request) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for name, _ in request.headers if name.startswith(METADATA))
    if not all(map(_TOKEN.fullmatch, names)):
        raise ClientError("a header's name is no token")
    metadata = [(name.decode(), _text(name, request.header(name))) for name in names]
    prefix = len(METADATA)
    size_bytes = sum(len(name) - prefix + len(value) for name, value in metadata)
    if size_bytes > MAX_METADATA_BYTES:
        raise ClientError(
            f"the metadata has {size_bytes} bytes; S3 keeps {MAX_METADATA_BYTES} with an object"
        )
    return metadata


def _text(name: bytes, value: bytes) -> str:
    """S3 keeps values as US-ASCII text; what else it is sent comes back as something else."""
    if not _TEXT.fullmatch(value):
        raise ClientError(f"{name.decode()} is not plain ASCII: encode it (RFC 8187, RFC 2047)")
    return value.decode("ascii")
