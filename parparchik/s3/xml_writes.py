"""The XML of writing: multipart uploads and batch deletes, both ways.

XML 1.0 has no word for most control characters, not even an escaped one: `sayable` tells which
keys can stand in a document at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from parparchik.errors import UpstreamError
from parparchik.s3.document import Document

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_SAYABLE = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")  # section 2.2
_WHITESPACE = {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}  # as text it may be normalised away


def sayable(key: str) -> bool:
    return _SAYABLE.fullmatch(key) is not None


def delete_document(keys: Iterable[str]) -> bytes:
    """The body of a DeleteObjects request; each of `keys` must be sayable."""
    objects = "".join([f"<Object><Key>{escape(key, _WHITESPACE)}</Key></Object>" for key in keys])
    return f"<Delete {_NAMESPACE}><Quiet>true</Quiet>{objects}</Delete>".encode()


def parse_delete_result(data: bytes) -> list[tuple[str, str]]:
    """The keys that were not deleted, each with S3's code. Raises UpstreamError."""
    failures: list[tuple[str, str]] = []
    fields: dict[str, str] = {}

    def on_end(parent: str, name: str, text: str) -> None:
        if parent == "Error":
            fields[name] = text
        elif parent == "DeleteResult" and name == "Error":
            if not fields.get("Code") or "Key" not in fields:
                raise UpstreamError("S3 failed to delete an object and says not which or why")
            failures.append((fields["Key"], fields["Code"]))
            fields.clear()

    document = Document("DeleteResult", on_end)
    document.feed(data)
    document.close()
    return failures


def complete_document(etags: Sequence[str]) -> bytes:
    """The body of a CompleteMultipartUpload request: the ETags of parts 1, 2, ..."""
    parts = "".join(
        [
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, start=1)
        ]
    )
    return f"<CompleteMultipartUpload {_NAMESPACE}>{parts}</CompleteMultipartUpload>".encode()


def parse_upload_id(data: bytes) -> str:
    """Of the answer to CreateMultipartUpload. Raises UpstreamError."""
    # rclone's server says it without `Result`.
    roots = ("InitiateMultipartUploadResult", "InitiateMultipartUpload")
    upload_id = _fields(data, *roots).get("UploadId")
    if not upload_id:
        raise UpstreamError("S3 has begun an upload and not said its UploadId")
    return upload_id


def parse_completed_etag(data: bytes) -> str:
    """Of the answer to CompleteMultipartUpload, which S3 may begin with white space, to keep the
    connection alive while it works; '' where there is none. Raises UpstreamError."""
    return _fields(data.lstrip(), "CompleteMultipartUploadResult").get("ETag", "")


def _fields(data: bytes, *roots: str) -> dict[str, str]:
    fields: dict[str, str] = {}

    def on_end(parent: str, ended: str, text: str) -> None:
        if parent in roots:
            fields[ended] = text.strip()

    document = Document(roots, on_end)
    document.feed(data)
    document.close()
    return fields
