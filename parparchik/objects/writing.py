"""PUT and DELETE of one object, and the order in which a write becomes visible.

A write is over when S3 has it *and* the cache knows: the object is forgotten after the commit,
never before, and before the client is answered. Where nobody can say what became of a write (S3
does not answer, the client is gone, we are cancelled) it is forgotten too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio

from parparchik.cache import Cache
from parparchik.content import ObjectBytes, ObjectName
from parparchik.errors import ConditionFailed, NotSupported, PreconditionFailed, Unsupported
from parparchik.model import Answer, Request, Upload
from parparchik.objects import problems
from parparchik.objects.bodies import Bodies
from parparchik.objects.storing import storing_of
from parparchik.objects.target import Place

_DELETE_CONDITIONS = (b"if-match", b"if-none-match", b"if-unmodified-since", b"if-modified-since")


class Stored(msgspec.Struct, frozen=True):
    """Answer to a PUT; `etag` has its quotes, as in the header."""

    bucket: str
    key: str
    etag: str
    size: int


@asynccontextmanager
async def changing(cache: Cache, names: Iterable[ObjectName]) -> AsyncIterator[None]:
    """Around what changes these objects at S3, whatever comes of it."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await cache.invalidate(*names)


class Writing:
    """`sources` by bucket."""

    def __init__(
        self,
        sources: Mapping[str, ObjectBytes],
        cache: Cache,
        bodies: Bodies,
        max_upload_bytes: int,
    ) -> None:
        self._sources = sources
        self._cache = cache
        self._bodies = bodies
        self._max_upload_bytes = max_upload_bytes

    async def put(self, place: Place, request: Request, upload: Upload) -> Answer:
        """Store the body as the object; nothing of it is read before all else is known to be in
        order."""
        storing = storing_of(request)
        name = ObjectName(place.bucket, place.key)
        with self._bodies.enter(upload, self._max_upload_bytes) as bounded:
            try:
                async with changing(self._cache, (name,)):
                    etag = await self._sources[name.bucket].store(name.key, bounded, storing)
            except PreconditionFailed as error:
                if storing.if_match or storing.if_none_match:
                    raise ConditionFailed(str(error)) from error
                raise
            except NotSupported as error:
                raise Unsupported(str(error)) from error
        body = msgspec.json.encode(Stored(*name, etag, bounded.received_bytes))
        headers = (problems.JSON, *(((b"etag", etag.encode()),) if etag else ()))
        return Answer(200, headers, body, problems.KIND)

    async def delete(self, place: Place, request: Request) -> Answer:
        """204, also where nothing was."""
        for condition in _DELETE_CONDITIONS:
            if request.header(condition):
                # Asking first and deleting then would promise what it cannot keep.
                raise Unsupported(f"{condition.decode()} is not supported for DELETE")
        name = ObjectName(place.bucket, place.key)
        async with changing(self._cache, (name,)):
            await self._sources[name.bucket].delete(name.key)
        return Answer(204, kind=problems.KIND)
