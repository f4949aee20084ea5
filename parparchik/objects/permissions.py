"""Who may do what: decided by bucket and method, before anything else is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from parparchik.config.model import Permission
from parparchik.errors import Forbidden, Unauthorized
from parparchik.model import Bucket
from parparchik.routes import Authenticator


class NotConfigured(Forbidden):
    """The bucket is not among those that are allowed."""


class NotPermitted(Forbidden):
    """The bucket is, but not for this."""


class Permissions:
    """`read` lets anybody read; `write` and `all` let those write, too, whom the authenticator
    lets. `reserving` are buckets with a manifest in them: that is nobody's."""

    def __init__(
        self,
        allowed: Iterable[tuple[str, Permission]],
        authenticator: Authenticator,
        reserving: Iterable[Bucket] = (),
    ) -> None:
        self._allowed = dict(allowed)
        self._authenticator = authenticator
        self._reserving = {bucket.name: bucket for bucket in reserving}

    def check(self, bucket: str, *, writes: bool, api_key: bytes) -> None:
        """Raises Forbidden where nobody may, Unauthorized where an API key is missing."""
        permission = self._allowed.get(bucket)
        if permission is None:
            raise NotConfigured(f"bucket {bucket!r} is not among the allowed buckets")
        if not writes:
            return
        if permission == "read":
            raise NotPermitted(f"bucket {bucket!r} may only be read")
        if not self._authenticator.allows(api_key):
            raise Unauthorized("a write needs an API key: Authorization: Bearer, or X-API-Key")

    def check_key(self, bucket: str, key: str) -> None:
        """Raises Forbidden for what the registry keeps in the bucket for itself."""
        reserving = self._reserving.get(bucket)
        if reserving is not None and reserving.reserves(key):
            raise NotPermitted(f"{key!r} belongs to the manifest of bucket {bucket!r}")
