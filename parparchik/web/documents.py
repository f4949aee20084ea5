"""The management API's JSON documents. Field names are a contract with existing clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from parparchik.model import Bucket, BucketType, Entry
from parparchik.rfc import format_iso8601


class FileDocument(msgspec.Struct, frozen=True, gc=False):
    """An entry. `size` is in bytes."""

    key: str
    bucket: str
    bucket_type: BucketType
    route: str
    size: int
    last_modified: str

    @classmethod
    def of(cls, entry: Entry) -> FileDocument:
        return cls(
            entry.key,
            entry.bucket.name,
            entry.bucket.type,
            entry.route,
            entry.size_bytes,
            format_iso8601(entry.last_modified_s),
        )


class BucketDocument(msgspec.Struct, frozen=True):
    name: str
    manifest_key: str
    public: bool

    @classmethod
    def of(cls, bucket: Bucket) -> BucketDocument:
        return cls(bucket.name, bucket.manifest_key, bucket.public)


class BriefStatus(msgspec.Struct, frozen=True):
    """What anybody may know."""

    status: Literal["ok"]
    ready: bool


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to /health. `checks` are of what the dedup store stands on, "ok" or why not."""

    status: Literal["healthy", "unhealthy"]
    checks: Mapping[str, str] = {}


class PeerDocument(msgspec.Struct, frozen=True):
    """Another host that is told of changes; `pending` are those that it has not confirmed."""

    url: str
    reachable: bool
    pending: int


class Status(msgspec.Struct, frozen=True):
    """`public_bucket` and `private_bucket` are, for historical reasons, the first and second
    bucket, whatever they are. `peers` are there where the settings name some."""

    status: Literal["ok"]
    buckets: list[BucketDocument]
    region: str
    ready: bool
    file_count: int
    public_bucket: str | None
    private_bucket: str | None
    peers: list[PeerDocument] | msgspec.UnsetType = msgspec.UNSET


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    status: Literal["ready", "not_ready"]
    ready: bool
    file_count: int
    reason: str | None = None


class Located(msgspec.Struct, frozen=True):
    """Answer to /update."""

    message: Literal["file located"]
    file: FileDocument


class RelocatedDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to /relocate."""

    status: Literal["ok"]
    file: FileDocument
    relocated_from: str | None = None
    relocated_to: str | None = None
    duplicate: bool = False
    note: str | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Any failure. /relocate's have `status`."""

    error: str
    status: Literal["fail"] | None = None
    filename: str | None = None
