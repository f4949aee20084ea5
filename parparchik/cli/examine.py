"""The examination of one bucket, step by step: what `parparchik check` reports.

Nothing that matters is changed. The manifest is only read. Whether it could be written is tried
on an object of its own beside it, `<manifest key>.check`: a conditional write that has to fail
would leave the manifest alone on servers that honour conditions, and overwrite it on those that
ignore them, possibly with what it held before another writer came. The name is reserved
(`Bucket.reserves`), so it is no file to anyone; it stays, since nobody needs to grant deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from parparchik.cli.anonymous import anonymous_status
from parparchik.cli.findings import Finding, Step, take
from parparchik.cli.grants import list_bucket, read_objects, write_manifest, write_objects
from parparchik.errors import Denied, UpstreamError
from parparchik.model import ObjectStore
from parparchik.registry import ConditionalWriter, Support, decode
from parparchik.rfc import format_iso8601
from parparchik.s3.credentials import CredentialStatus

_PROBE = b'{"note":"Written by `parparchik check`. It may be deleted."}\n'
_MANIFEST_WRITE, _WRITE = "manifest write", "write"
_NO_CONDITIONS = "one server only: this S3 has no conditional writes, so two could lose changes"


class CredentialSource(Protocol):
    """What is asked of an endpoint's `s3.credentials.CredentialStore`."""

    async def load(self) -> None:
        """Raises NoCredentials."""
        ...

    def describe(self) -> CredentialStatus: ...


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a bucket is there for: `routes`, `uploads` through the object gateway, and sites, whose
    `pages` should be there."""

    routes: bool = True
    uploads: bool = False
    pages: Sequence[str] = ()


class Examination:
    """One bucket's. `credentials` are those of its endpoint; `may_write` False leaves out the
    steps that write; `denied_is_missing` is the setting of that name: then nobody needs to list.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        credentials: CredentialSource,
        may_write: bool,
        denied_is_missing: bool,
        purpose: Purpose = Purpose(),
    ) -> None:
        self.findings: list[Finding] = []
        self._store = store
        self._credentials = credentials
        self._may_write = may_write
        self._denied_is_missing = denied_is_missing
        self._purpose = purpose
        self._some_key: str | None = None

    async def run(self) -> None:
        """See `findings.take`."""
        await take(self._steps(), self.findings, self._denied)

    def _steps(self) -> list[Step]:
        bucket, purpose = self._store.bucket, self._purpose
        steps = [
            Step("credentials", self._sign),
            Step("list", self._list, list_bucket(bucket)),
            Step("head", self._head, read_objects(bucket)),
        ]
        if purpose.routes:
            steps.append(Step("manifest read", self._read, read_objects(bucket)))
        if purpose.routes and self._may_write:
            steps.append(Step(_MANIFEST_WRITE, self._write, write_manifest(bucket)))
        if purpose.uploads and self._may_write:
            steps.append(Step(_WRITE, self._upload, write_objects(bucket)))
        if purpose.routes and bucket.public:
            steps.append(Step("anyone reads", self._read_as_anyone))
        for key in purpose.pages:
            steps.append(Step("page", partial(self._look_for, key), read_objects(bucket)))
        return steps

    def _denied(self, step: Step, error: Denied) -> Finding:
        """Without the permission to list, S3 says 403 for missing keys too."""
        grant = step.grant
        if step.name == "list" and self._denied_is_missing:
            return Finding(step.name, None, "denied, which PARPARCHIK_DENIED_IS_MISSING allows for")
        if any(one.step == "list" and one.passed is False for one in self.findings):
            is_write = step.name in (_MANIFEST_WRITE, _WRITE)
            grant = grant if is_write else list_bucket(self._store.bucket)
        return Finding(step.name, False, str(error), grant)

    async def _sign(self) -> Finding:
        await self._credentials.load()
        status = self._credentials.describe()
        ends_s = status.expires_at_s
        until = "" if ends_s is None else f", until {format_iso8601(int(ends_s))}"
        told = f"from {status.source}, key id ...{status.key_id_tail}{until}"
        return Finding("credentials", True, told)

    async def _list(self) -> Finding:
        page = await self._store.list_page()
        keys = [item.key for item in page.objects if not self._store.bucket.reserves(item.key)]
        self._some_key = keys[0] if keys else None
        more = " and more" if page.next_token else ""
        return Finding("list", True, f"files: {len(keys)}{more}")

    async def _head(self) -> Finding:
        """A missing key must be told apart from a forbidden one; an existing one must be there."""
        if await self._store.head(f"{self._store.bucket.manifest_key}.absent") is not None:
            return Finding("head", False, "a missing key seems to be there: HEAD cannot be trusted")
        if self._some_key is None:
            return Finding("head", True, "a missing key is 404")
        if await self._store.head(self._some_key) is None:
            return Finding("head", False, f"{self._some_key!r} is listed, and HEAD says 404")
        return Finding("head", True, "a missing key is 404, a listed one is there")

    async def _read(self) -> Finding:
        bucket = self._store.bucket
        found = await self._store.get(bucket.manifest_key)
        if found is None:
            return Finding("manifest read", True, "none yet: the first start lists the buckets")
        count = sum(len(rows) for rows in decode(found.data, bucket, 0))
        return Finding("manifest read", True, f"{count} entries, {len(found.data)} bytes")

    async def _write(self) -> Finding:
        """Write, and then replace what was written as the manifest would be replaced."""
        key = f"{self._store.bucket.manifest_key}.check"
        etag = await self._store.put(key, [_PROBE], content_type="application/json")
        writer = ConditionalWriter(self._store, key)
        try:
            await writer.replace([_PROBE], etag)
        except UpstreamError as error:
            how = f"whether on conditions is not known: {error}"
        else:
            safe = writer.support in (Support.QUOTED, Support.UNQUOTED)
            how = "two servers may share it" if safe else _NO_CONDITIONS
        return Finding(_MANIFEST_WRITE, True, f"{how} (tried on {key})")

    async def _upload(self) -> Finding:
        key = f"{self._store.bucket.manifest_key}.check"
        await self._store.put(key, [_PROBE], content_type="application/json")
        return Finding(_WRITE, True, f"for the object gateway (tried on {key})")

    async def _look_for(self, key: str) -> Finding:
        """A site may well get its pages later."""
        there = await self._store.head(key) is not None
        return Finding("page", True if there else None, f"{key}: {'there' if there else 'missing'}")

    async def _read_as_anyone(self) -> Finding:
        """As a client that was redirected: the plain URL, no signature. The external endpoint may
        be out of this host's reach, which is no failure."""
        step = "anyone reads"
        if self._some_key is None:
            return Finding(step, None, "not tried: no file to ask for")
        url = self._store.public_url(self._some_key)
        status = await trio.to_thread.run_sync(anonymous_status, url)
        if status is None:
            return Finding(step, None, f"not tried: no answer from here to HEAD {url}")
        if status in (401, 403):
            detail = f"{status} for a client without credentials: the bucket policy must allow it"
            return Finding(step, False, detail, read_objects(self._store.bucket, anyone=True))
        return Finding(step, status == 200, f"{status} for HEAD {url}")
