"""What lies below a prefix, asked of S3 once for all who want to know, and kept for a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import trio

from parparchik.content import Folder, ObjectBytes
from parparchik.errors import ParparchikError
from parparchik.site.pace import Pace

Kind = Literal["first", "further", "empty"]

KEPT: dict[Kind, int] = {"first": 64, "further": 64, "empty": 1024}
"""Pages, the latest of each kind: made-up folders and pages take no room of others'."""

_FEW = 16
"""Changed objects, for which every page is looked at; for more all pages are forgotten."""


class _Page(NamedTuple):
    prefix: str
    token: str | None


class _Flight:
    __slots__ = ("done", "error", "folder")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.folder: Folder | None = None
        self.error: ParparchikError | None = None


class Folders:
    """Pages of folders, each good for `ttl_s`. As with HEADs of routes, whoever comes first asks in
    its own task, and where that is cancelled another asks again."""

    def __init__(
        self,
        source: ObjectBytes,
        *,
        page_objects: int,
        ttl_s: float,
        lists_per_second: float,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._source = source
        self._page_objects = page_objects
        self._ttl_s = ttl_s
        self._now = now
        self._pace = Pace(lists_per_second, now=now)
        self._kept: dict[Kind, OrderedDict[_Page, tuple[float, Folder]]] = {
            kind: OrderedDict() for kind in KEPT
        }
        self._flights: dict[_Page, _Flight] = {}

    def page_nowait(self, prefix: str, token: str | None) -> Folder | None:
        """None where S3 has to be asked."""
        page = _Page(prefix, token)
        for kept in self._kept.values():
            until_s, folder = kept.get(page, (0.0, None))
            if folder is not None and self._now() < until_s:
                return folder
        return None

    async def page(self, prefix: str, token: str | None) -> Folder:
        """Raises UpstreamError, and BadTarget for a token that S3 does not know."""
        page = _Page(prefix, token)
        while True:
            if (known := self.page_nowait(prefix, token)) is not None:
                return known
            flight = self._flights.get(page)
            if flight is None:
                return await self._lead(page)
            await flight.done.wait()
            if flight.folder is not None:
                return flight.folder
            if flight.error is not None:
                raise flight.error

    def forget(self, keys: Iterable[str], below: Iterable[str]) -> None:
        """The pages that may show these keys, or any that begins with one of `below`; those that
        are being asked for will not be kept."""
        keys, below = tuple(keys), tuple(below)
        if len(keys) + len(below) > _FEW:
            self.clear()
            return

        def shows(page: _Page) -> bool:
            prefix = page.prefix
            return any(key.startswith(prefix) for key in keys) or any(
                prefix.startswith(each) or each.startswith(prefix) for each in below
            )

        for kept in self._kept.values():
            for page in [page for page in kept if shows(page)]:
                del kept[page]
        for page in [page for page in self._flights if shows(page)]:
            del self._flights[page]

    def clear(self) -> None:
        """Forget all pages; those that are being asked for will not be kept."""
        for kept in self._kept.values():
            kept.clear()
        self._flights.clear()

    async def _lead(self, page: _Page) -> Folder:
        flight = self._flights[page] = _Flight()
        try:
            await self._pace.turn()
            folder = await self._source.list_folder(
                page.prefix, token=page.token, limit=self._page_objects
            )
            flight.folder = folder
        except ParparchikError as error:
            flight.error = error
            raise
        finally:
            current = self._flights.get(page) is flight
            if current:
                del self._flights[page]
            flight.done.set()
        if current:
            self._keep(page, folder)
        return folder

    def _keep(self, page: _Page, folder: Folder) -> None:
        kind: Kind = "first" if page.token is None else "further"
        if not (folder.objects or folder.prefixes):
            kind = "empty"
        kept = self._kept[kind]
        kept[page] = self._now() + self._ttl_s, folder
        kept.move_to_end(page)
        while len(kept) > KEPT[kind]:
            kept.popitem(last=False)
