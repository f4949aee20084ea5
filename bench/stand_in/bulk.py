"""Objects with bodies worth the name, and buckets that take anything and keep nothing of it.

All generated objects of a bucket have the same bytes, which are in memory once. What is put into a
bucket that is a sink is counted, not kept: of an object there is its size, and it reads as zeros.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qs

from bench.stand_in.answers import (
    CHANGED,
    HEAD_MISSING,
    MISSING,
    UNKNOWN_METHOD,
    described,
    error,
    render,
)
from bench.stand_in.buckets import GENERATED_ETAG, BucketContent

_RANGE = re.compile(rb"bytes=(\d+)-(\d*)$")
_BAD_RANGE = error(416, "InvalidRange")
_NO_UPLOAD = error(404, "NoSuchUpload")
_DELETED = render(204)
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Reply(NamedTuple):
    head: bytes
    body: memoryview = memoryview(b"")


@cache
def content_of(size_bytes: int) -> memoryview:
    """What no compression makes smaller."""
    return memoryview(random.Random(size_bytes).randbytes(size_bytes))


def get_large(
    bucket: BucketContent, key: str, headers: Mapping[bytes, bytes], *, to_head: bool
) -> Reply:
    """With single ranges, If-Match and If-None-Match."""
    if bucket.is_generated(key):
        size_bytes, etag = bucket.spec.object_bytes, GENERATED_ETAG
        content = content_of(size_bytes)
    elif (sunk := bucket.sunk.get(key)) is not None:
        size_bytes, etag = sunk, f'"{sunk}"'
        content = memoryview(bytes(0 if to_head else sunk))
    else:
        return Reply(HEAD_MISSING if to_head else MISSING)
    if headers.get(b"if-match", etag.encode()) != etag.encode():
        return Reply(CHANGED)
    described_as = described(size_bytes, etag)
    if headers.get(b"if-none-match") == etag.encode():
        return Reply(render(304, b"", described_as, length=size_bytes))
    if to_head:
        return Reply(render(200, b"", described_as, length=size_bytes))
    asked = _RANGE.match(headers.get(b"range", b""))
    if asked is None:
        return Reply(render(200, b"", described_as, length=size_bytes), content)
    first = int(asked[1])
    last = min(int(asked[2] or size_bytes), size_bytes - 1)
    if first > last:
        return Reply(_BAD_RANGE)
    described_as["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    part = content[first : last + 1]
    return Reply(render(206, b"", described_as, length=len(part)), part)


def write_large(
    bucket: BucketContent, method: bytes, key: str, query: str, body_bytes: int
) -> bytes:
    """What changes a sink: PUT of so many bytes, an upload in parts, DELETE."""
    given = parse_qs(query, keep_blank_values=True)
    upload = given.get("uploadId", [""])[-1]
    if upload and upload not in bucket.uploads:
        return _NO_UPLOAD
    if method == b"POST" and "uploads" in given:
        upload = f"upload-{bucket.next_number()}"
        bucket.uploads[upload] = 0
        return _document("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
    if method == b"PUT" and upload:
        bucket.uploads[upload] += body_bytes
        return render(200, b"", {"ETag": f'"part-{body_bytes}"'})
    if method == b"POST" and upload:
        bucket.sunk[key] = size_bytes = bucket.uploads.pop(upload)
        tag = f"<ETag>&quot;{size_bytes}&quot;</ETag>"
        return _document("CompleteMultipartUploadResult", tag)
    if method == b"PUT":
        bucket.sunk[key] = body_bytes
        return render(200, b"", {"ETag": f'"{body_bytes}"'})
    if method == b"DELETE":
        if upload:
            del bucket.uploads[upload]
        else:
            bucket.sunk.pop(key, None)
        return _DELETED
    return UNKNOWN_METHOD


def _document(name: str, content: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {_NAMESPACE}>{content}</{name}>'
    return render(200, body.encode(), {"Content-Type": "application/xml"})
