"""Conditional writes, as far as a server has them: found out once, by use, and remembered.

* It honours `If-Match` with the ETag as it was sent (RFC 9110 section 13.1.1).
* It honours it only without the quotes (RADOS Gateway 16): 412 although the object still has
  that ETag.
* It refuses conditions (Swift): 501.
* It ignores them silently (rclone): an `If-Match` that names another object succeeds.

The last can only be told by a condition that must fail. It is asked once, where an object is
about to be replaced anyway and has just been seen to be the one we know. The condition asked for
is the one that replacing stands on: servers are known that have `If-None-Match` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from parparchik.errors import NotSupported, PreconditionFailed
from parparchik.model import ObjectStore

_CONTENT_TYPE = "application/json"
_NO_ETAG = '"00000000000000000000000000000000"'


class Support(Enum):
    UNKNOWN = "unknown"
    QUOTED = "quoted"
    UNQUOTED = "unquoted"
    NONE = "none"


_FORMS: dict[Support, Callable[[str], str]] = {
    Support.QUOTED: str,
    Support.UNQUOTED: lambda etag: etag.strip('"'),
}


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
        if self.support is Support.UNKNOWN and seen_etag:
            written = await self._try_out(data, seen_etag)
            if written is not None:
                return written
        if self.support is Support.NONE or not seen_etag:
            await self._check(seen_etag)
            return await self._put(data)
        try:
            return await self._put(data, if_match=_FORMS[self.support](seen_etag))
        except PreconditionFailed:
            if not await self._is(seen_etag):
                raise
        # The object is the one we named, and the server says that it is not: it compares the
        # other form, or another write was just under way (409). Only success tells which.
        other = Support.QUOTED if self.support is Support.UNQUOTED else Support.UNQUOTED
        written = await self._put(data, if_match=_FORMS[other](seen_etag))
        self.support = other
        return written

    async def _create(self, data: Sequence[bytes]) -> str:
        await self._check(None)  # also for servers that ignore what comes next
        try:
            return await self._put(data, if_none_match="*")
        except NotSupported:
            return await self._put(data)

    async def _try_out(self, data: Sequence[bytes], seen_etag: str) -> str | None:
        """Find out whether conditions are honoured; the ETag if that wrote the object."""
        await self._check(seen_etag)
        try:
            written = await self._put(data, if_match=_NO_ETAG)
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
