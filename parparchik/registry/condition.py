"""Conditional writes, as far as a server has them: found out once, by use, and remembered.

* It honours `If-Match` with the ETag as it was sent (RFC 9110 section 13.1.1).
* It honours it only without the quotes (RADOS Gateway 16): 412 although the object still has
  that ETag.
* It refuses conditions (Swift): 501.
* It ignores them silently (rclone): `If-None-Match: *` succeeds on an object that exists.

The last can only be told by a condition that must fail. It is asked once, where an object is
about to be replaced anyway and has just been seen to be the one we know.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from parparchik.errors import NotSupported, PreconditionFailed
from parparchik.model import ObjectStore

_CONTENT_TYPE = "application/json"


class Support(Enum):
    UNKNOWN = "unknown"
    QUOTED = "quoted"
    UNQUOTED = "unquoted"
    NONE = "none"


class ConditionalWriter:
    """Replaces one object only while it is what the caller last saw."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self.support = Support.UNKNOWN
        self._store = store
        self._key = key

    async def replace(self, data: Sequence[bytes], seen_etag: str | None) -> str:
        """Write `data` over the object whose ETag is `seen_etag` (None: there is none yet);
        returns the new ETag.

        Raises PreconditionFailed when the object is another by now. Where the server has no
        conditional writes that is checked just before the write, which leaves a small window.
        """
        if seen_etag is None:
            return await self._create(data)
        if self.support is Support.UNKNOWN:
            written = await self._try_out(data, seen_etag)
            if written is not None:
                return written
        if self.support is Support.NONE:
            await self._check(seen_etag)
            return await self._put(data)
        try:
            return await self._put(data, if_match=self._as_wanted(seen_etag))
        except PreconditionFailed:
            if self.support is Support.UNQUOTED or not await self._is(seen_etag):
                raise
        # The object is the one we named, and the server says that it is not: it compares
        # without the quotes.
        self.support = Support.UNQUOTED
        return await self._put(data, if_match=self._as_wanted(seen_etag))

    async def _create(self, data: Sequence[bytes]) -> str:
        if self.support is not Support.NONE:
            try:
                return await self._put(data, if_none_match="*")
            except NotSupported:
                self.support = Support.NONE
        await self._check(None)
        return await self._put(data)

    async def _try_out(self, data: Sequence[bytes], seen_etag: str) -> str | None:
        """Find out whether conditions are honoured; the ETag if that wrote the object."""
        await self._check(seen_etag)
        try:
            written = await self._put(data, if_none_match="*")
        except PreconditionFailed:
            self.support = Support.QUOTED
            return None
        except NotSupported:
            self.support = Support.NONE
            return None
        self.support = Support.NONE
        return written

    async def _check(self, seen_etag: str | None) -> None:
        if not await self._is(seen_etag):
            raise PreconditionFailed(f"{self._key!r} was changed by another writer")

    async def _is(self, seen_etag: str | None) -> bool:
        head = await self._store.head(self._key)
        return (None if head is None else head.etag) == seen_etag

    def _as_wanted(self, etag: str) -> str:
        return etag.strip('"') if self.support is Support.UNQUOTED else etag

    async def _put(
        self,
        data: Sequence[bytes],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        return await self._store.put(
            self._key,
            data,
            content_type=_CONTENT_TYPE,
            if_match=if_match,
            if_none_match=if_none_match,
        )
