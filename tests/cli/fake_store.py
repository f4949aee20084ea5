"""A bucket in memory that can be told to fail."""

from __future__ import annotations

from collections.abc import Sequence

from parparchik.errors import NotSupported, PreconditionFailed, UpstreamError
from parparchik.model import (
    Bucket,
    ListedObject,
    ListPage,
    Method,
    ObjectHead,
    PresignedUrl,
    StoredObject,
)
from parparchik.s3.credentials import CredentialStatus


class FakeStore:
    """`failures` are by operation: list, head, get, put. `conditional` is what the server makes
    of conditions on a PUT: honours, refuses or ignores them."""

    def __init__(
        self,
        bucket: Bucket,
        objects: dict[str, bytes] | None = None,
        failures: dict[str, UpstreamError] | None = None,
        conditional: str = "honoured",
    ) -> None:
        self.bucket = bucket
        self.objects = dict(objects or {})
        self.failures = dict(failures or {})
        self.conditional = conditional
        self.asked: list[str] = []

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if operation in self.failures:
            raise self.failures[operation]

    async def head(self, key: str) -> ObjectHead | None:
        self._ask("head")
        data = self.objects.get(key)
        return None if data is None else ObjectHead(len(data), 1_767_225_600, '"e"')

    async def get(self, key: str) -> StoredObject | None:
        self._ask("get")
        data = self.objects.get(key)
        return None if data is None else StoredObject(data, ObjectHead(len(data), 0, '"e"'))

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        assert content_type
        self._ask("put")
        if if_match is not None or if_none_match is not None:
            if self.conditional == "refused":
                raise NotSupported("501")
            if self.conditional == "honoured" and if_none_match and key in self.objects:
                raise PreconditionFailed("412")
        self.objects[key] = b"".join(pieces)
        return '"e"'

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        assert token is start_after is None
        assert not prefix
        self._ask("list")
        return ListPage(
            [ListedObject(k, ObjectHead(len(v), 0)) for k, v in sorted(self.objects.items())], None
        )

    def public_url(self, key: str) -> str:
        return f"http://127.0.0.1:1/{self.bucket.name}/{key}"

    def presign(self, method: Method, key: str, *, expires_s: int) -> PresignedUrl:
        url = f"http://127.0.0.1:1/{key}?{method}&{expires_s}&X-Amz-Signature=secret"
        return PresignedUrl(url, float(expires_s))


class FakeCredentials:
    """Credentials that are there; or `failure`."""

    def __init__(self, failure: UpstreamError | None = None, expires_at_s: float | None = None):
        self._failure = failure
        self._expires_at_s = expires_at_s

    async def load(self) -> None:
        if self._failure is not None:
            raise self._failure

    def describe(self) -> CredentialStatus:
        return CredentialStatus("a fake", "WXYZ", self._expires_at_s, None)
