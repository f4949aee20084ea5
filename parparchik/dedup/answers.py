"""The protocol's answers, as bytes. Pure.

filetracker's client shows people what X-Exception says of a failure.
"""

from __future__ import annotations

from dataclasses import replace

from parparchik.dedup.types import File
from parparchik.dedup.versions import format_version
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Headers
from parparchik.routes import failure as plain_failure
from parparchik.routes import problem as plain_problem

KIND = "dedup"
"""What metrics count these requests under."""

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_OCTETS = (b"content-type", b"application/octet-stream")
# A file may be overwritten at any time: whoever keeps an answer has to ask whether it still holds.
_NO_CACHE = (b"cache-control", b"no-cache")
_LONGEST_REASON = 200  # characters

VERSION = Answer(200, (_JSON,), b'{"protocol_versions":[2]}', KIND)


def file_headers(file: File, *, gzip: bool) -> Headers:
    """Of the answer to GET or HEAD; `gzip`: the body is as it is stored."""
    blob = file.blob
    return (
        _OCTETS,
        *(((b"content-encoding", b"gzip"),) if gzip else ()),
        (b"vary", b"accept-encoding"),
        _last_modified(file.version_s),
        (b"logical-size", b"%d" % blob.logical_bytes),
        # Of what is to be fetched first nobody knows it yet.
        *(((b"sha256-checksum", blob.digest.encode()),) if blob.digest else ()),
        _NO_CACHE,
    )


def file_length(file: File, *, gzip: bool) -> int:
    return file.blob.stored_bytes if gzip else file.blob.logical_bytes


def changed(version_s: int | None) -> Answer:
    """Of a PUT or a DELETE that was in order, whether it had an effect or not; the version that is
    stored now, if any."""
    versions = () if version_s is None else (_last_modified(version_s),)
    return Answer(200, (_TEXT, *versions), b"", KIND)


def listed(body: bytes) -> Answer:
    return Answer(200, LIST_HEADERS, body, KIND)


LIST_HEADERS: Headers = (_TEXT, _NO_CACHE)


def not_found(path: str) -> Answer:
    return problem(404, f"there is no file {path}")


def problem(status: int, reason: str) -> Answer:
    return _told(plain_problem(status, reason, kind=KIND), reason)


def failure(error: ParparchikError) -> Answer:
    """What an error of ours looks like to a client."""
    return _told(plain_failure(error, kind=KIND), error.client_message)


def _told(answer: Answer, reason: str) -> Answer:
    printable = "".join(c if c.isprintable() else "?" for c in reason[:_LONGEST_REASON])
    told = printable.encode("ascii", "backslashreplace").strip()
    return replace(answer, headers=(*answer.headers, (b"x-exception", told)))


def _last_modified(version_s: int) -> tuple[bytes, bytes]:
    return b"last-modified", format_version(version_s).encode()
