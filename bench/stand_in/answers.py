"""What S3 answers, as bytes: heads, error bodies, list pages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

from bench.stand_in.buckets import (
    GENERATED_ETAG,
    MODIFIED,
    MODIFIED_HTTP,
    OBJECT_BYTES,
    BucketContent,
)

PAGE_KEYS = 1000

_REASONS = {
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    304: "Not Modified",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
}


def render(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, length: int = -1
) -> bytes:
    """A whole answer; `length` is the Content-Length where there is no body (HEAD)."""
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        *((f"Content-Length: {len(body) if length < 0 else length}",) if status != 204 else ()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_KEPT = (b"content-encoding", b"cache-control", b"content-disposition", b"content-language")
"""What an object keeps of the headers it came with, but for its own metadata."""


def error(status: int, code: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return render(status, body.encode(), {"Content-Type": "application/xml"})


def described(size_bytes: int, etag: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Last-Modified": MODIFIED_HTTP,
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
    }


HEAD_GENERATED = render(200, b"", described(OBJECT_BYTES, GENERATED_ETAG), length=OBJECT_BYTES)
GET_GENERATED = render(200, bytes(OBJECT_BYTES), described(OBJECT_BYTES, GENERATED_ETAG))
BUCKET_MADE = render(200)
HEAD_MISSING = render(404)
MISSING = error(404, "NoSuchKey")
NO_BUCKET = error(404, "NoSuchBucket")
DENIED = error(403, "AccessDenied")
CHANGED = error(412, "PreconditionFailed")
UNKNOWN_METHOD = error(405, "MethodNotAllowed")


def get_object(bucket: BucketContent, key: str, *, to_head: bool) -> bytes:
    """Ranges are not served here: the whole object comes, which a server may do."""
    if bucket.is_generated(key):
        return HEAD_GENERATED if to_head else GET_GENERATED
    stored = bucket.stored(key)
    if stored is None:
        return HEAD_MISSING if to_head else MISSING
    size_bytes = len(stored.body)
    headers = {**described(size_bytes, stored.etag), **dict(stored.headers)}
    return render(200, b"" if to_head else stored.body, headers, length=size_bytes)


def put_object(
    bucket: BucketContent, key: str, body: bytes, headers: Mapping[bytes, bytes]
) -> bytes:
    stored = bucket.stored(key)
    wanted = headers.get(b"if-match")
    if wanted is not None and (stored is None or stored.etag.strip('"') != _bare(wanted)):
        return CHANGED
    if headers.get(b"if-none-match") == b"*" and stored is not None:
        return CHANGED
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers.items()
        if name in _KEPT or name.startswith(b"x-amz-meta-")
    ]
    return render(200, b"", {"ETag": bucket.put(key, body, tuple(kept)).etag})


def _bare(etag: bytes) -> str:
    return etag.decode("latin-1").strip('"')


def list_objects(bucket: BucketContent, query: str) -> bytes:
    """A page of ListObjectsV2; the continuation token is the last key of the page before."""
    if not bucket.spec.may_list:
        return DENIED
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    after = unquote(given.get("continuation-token", "")) or given.get("start-after", "")
    count = min(int(given.get("max-keys", PAGE_KEYS)), PAGE_KEYS)
    found, more = bucket.page(after, given.get("prefix", ""), count)
    encode = quote if given.get("encoding-type") == "url" else escape
    contents = "".join(
        f"<Contents><Key>{encode(one.key)}</Key><LastModified>{MODIFIED}</LastModified>"
        f"<ETag>{escape(one.etag)}</ETag><Size>{one.size_bytes}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for one in found
    )
    token = f"<NextContinuationToken>{quote(found[-1].key)}</NextContinuationToken>" if more else ""
    encoding = "<EncodingType>url</EncodingType>" if encode is quote else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket.spec.name}</Name><KeyCount>{len(found)}</KeyCount>"
        f"<MaxKeys>{count}</MaxKeys>{encoding}"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{contents}"
        "</ListBucketResult>"
    )
    return render(200, body.encode(), {"Content-Type": "application/xml"})
