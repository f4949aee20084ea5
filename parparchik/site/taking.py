"""Taking the steps to an answer: each is asked from memory first, then with S3.

Absent means: on to the next one. What S3 could not tell is raised and ends the list, save for the
site's own error page: what that stands for is known to be absent already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from parparchik.cache import Absent, Cache, Found, Policy
from parparchik.content import Folder, ObjectName
from parparchik.delivery import Serving, Wishes, media_type
from parparchik.errors import UpstreamError
from parparchik.model import Answer
from parparchik.rfc import is_compressible
from parparchik.site.folders import Folders

log = structlog.get_logger(__name__)

NOTHING = Absent()


class Looks(Protocol):
    """As `delivery.Delivery`, for a request that was read already and is answered many times."""

    def look(self, wishes: Wishes, serving: Serving) -> Answer | Absent | None: ...

    async def find(self, wishes: Wishes, serving: Serving) -> Answer | Absent: ...


class Taken(Protocol):
    """A step of one request."""

    def answer_nowait(self) -> Answer | Absent | None:
        """None where S3 must be asked."""
        ...

    async def answer(self) -> Answer | Absent:
        """Raises UpstreamError."""
        ...


class NothingThere:
    """A step to nowhere."""

    __slots__ = ()

    def answer_nowait(self) -> Answer | Absent | None:
        return NOTHING

    async def answer(self) -> Answer | Absent:
        return NOTHING


NOTHING_THERE = NothingThere()


@dataclass(frozen=True, slots=True)
class Served:
    """The object itself."""

    delivery: Looks
    wishes: Wishes
    serving: Serving

    def answer_nowait(self) -> Answer | Absent | None:
        return self.delivery.look(self.wishes, self.serving)

    async def answer(self) -> Answer | Absent:
        return await self.delivery.find(self.wishes, self.serving)


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The site's own page for what is absent; where it can't be had either, ours will do."""

    page: Served

    def answer_nowait(self) -> Answer | Absent | None:
        return self.page.answer_nowait()

    async def answer(self) -> Answer | Absent:
        try:
            return await self.page.answer()
        except UpstreamError as error:
            log.warning("no error page", key=self.page.serving.name.key, error=str(error))
            return NOTHING


class Precompressed:
    """What stands beside an object as the same thing already coded; `serving` is of that. It is
    asked for only where the object, `original`, is there too, which lends its type, and only where
    that is one that anybody would compress."""

    __slots__ = (
        "_cache",
        "_content_type",
        "_delivery",
        "_original",
        "_plain",
        "_serving",
        "_wishes",
    )

    def __init__(
        self,
        delivery: Looks,
        wishes: Wishes,
        serving: Serving,
        cache: Cache,
        original: ObjectName,
    ) -> None:
        self._delivery = delivery
        self._wishes = wishes
        self._plain = self._serving = serving
        self._content_type = ""
        self._cache = cache
        self._original = original

    def answer_nowait(self) -> Answer | Absent | None:
        found = self._cache.find_nowait(self._original, self._serving.policy)
        if found is None:
            return None
        serving = self._serving_for(found)
        return NOTHING if serving is None else self._delivery.look(self._wishes, serving)

    async def answer(self) -> Answer | Absent:
        found = await self._cache.find(self._original, self._serving.policy, "head")
        serving = self._serving_for(found)
        return NOTHING if serving is None else await self._delivery.find(self._wishes, serving)

    def _serving_for(self, found: Found | Absent) -> Serving | None:
        if isinstance(found, Absent) or found.representation.header("content-encoding"):
            return None
        content_type = media_type(found.representation, self._original.key)
        if not is_compressible(content_type):
            return None
        if content_type != self._content_type:
            self._content_type = content_type
            header = (b"content-type", content_type.encode("latin-1", "replace"))
            self._serving = replace(self._plain, headers=(header, *self._plain.headers))
        return self._serving


@dataclass(frozen=True, slots=True)
class AddedSlash:
    """`redirect`, where an object is there."""

    cache: Cache
    policy: Policy
    name: ObjectName
    redirect: Answer

    def answer_nowait(self) -> Answer | Absent | None:
        found = self.cache.find_nowait(self.name, self.policy)
        return found if found is None or isinstance(found, Absent) else self.redirect

    async def answer(self) -> Answer | Absent:
        found = await self.cache.find(self.name, self.policy, "head")
        return found if isinstance(found, Absent) else self.redirect


class FolderStep:
    """What a folder answers, if there is anything in it: the same Answer as long as it is the same
    page of it."""

    __slots__ = ("_answer", "_folder", "_folders", "_make", "_prefix", "_token")

    def __init__(
        self, folders: Folders, prefix: str, token: str | None, make: Callable[[Folder], Answer]
    ) -> None:
        self._folders = folders
        self._prefix = prefix
        self._token = token
        self._make = make
        self._folder: Folder | None = None
        self._answer: Answer | Absent = NOTHING

    def answer_nowait(self) -> Answer | Absent | None:
        folder = self._folders.page_nowait(self._prefix, self._token)
        return None if folder is None else self._answer_to(folder)

    async def answer(self) -> Answer | Absent:
        return self._answer_to(await self._folders.page(self._prefix, self._token))

    def _answer_to(self, folder: Folder) -> Answer | Absent:
        if folder is not self._folder:
            there = folder.objects or folder.prefixes or folder.next_token or self._token
            self._answer = self._make(folder) if there else NOTHING
            self._folder = folder
        return self._answer
