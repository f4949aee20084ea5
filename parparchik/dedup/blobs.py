"""Blobs at S3: what is stored with them, and what that says of them when it is read again."""

from __future__ import annotations

from parparchik.content import Representation, Storing
from parparchik.dedup.types import Blob

# Two of them are in memory at a time, well within 32 MiB. S3 takes so many that 78 GiB go in.
_PART_BYTES = 8 << 20
_SIZE = "x-amz-meta-logical-size"
_DIGEST = "x-amz-meta-sha256"


def storing_of(digest: str, logical_bytes: int) -> Storing:
    """With this the metadata can be made again from what S3 has, and the references."""
    return Storing(
        content_type="application/octet-stream",
        headers=(
            ("content-encoding", "gzip"),
            (_SIZE, str(logical_bytes)),
            (_DIGEST, digest),
        ),
        part_bytes=_PART_BYTES,
    )


def logical_bytes_of(found: Representation, digest: str) -> int | None:
    """The size of the content; None where this is not the blob of that digest."""
    size = found.header(_SIZE)
    if found.header(_DIGEST) != digest or not (size.isascii() and size.isdigit()):
        return None
    return int(size)


def is_of(found: Representation, blob: Blob) -> bool:
    """Whether an object at the blob's key has its content. Who stores the same at the same time may
    have packed it into another gzip: what S3 has then is of another size than was stored, and says
    of itself what it is."""
    if found.size_bytes == blob.stored_bytes:
        return True
    return logical_bytes_of(found, blob.digest) == blob.logical_bytes
