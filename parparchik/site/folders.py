"""What lies below a prefix, asked of S3 once for all who want to know, and kept for a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import trio

from parparchik.content import Folder, ObjectBytes
from parparchik.errors import UpstreamError

KEPT_PAGES = 64


class _Page(NamedTuple):
    prefix: str
    token: str | None


class _Flight:
    __slots__ = ("done", "error", "folder")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.folder: Folder | None = None
        self.error: UpstreamError | None = None


class Folders:
    """Pages of folders, each good for `ttl_s`; the `KEPT_PAGES` latest. As with HEADs of routes,
    whoever comes first asks in its own task, and where that is cancelled another asks again."""

    def __init__(
        self,
        source: ObjectBytes,
        *,
        page_objects: int,
        ttl_s: float,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._source = source
        self._page_objects = page_objects
        self._ttl_s = ttl_s
        self._now = now
        self._kept: OrderedDict[_Page, tuple[float, Folder]] = OrderedDict()
        self._flights: dict[_Page, _Flight] = {}

    def page_nowait(self, prefix: str, token: str | None) -> Folder | None:
        """None where S3 has to be asked."""
        until_s, folder = self._kept.get(_Page(prefix, token), (0.0, None))
        return folder if folder is not None and self._now() < until_s else None

    async def page(self, prefix: str, token: str | None) -> Folder:
        """Raises UpstreamError."""
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

    def clear(self) -> None:
        """Forget all pages; those that are being asked for will not be kept."""
        self._kept.clear()
        self._flights.clear()

    async def _lead(self, page: _Page) -> Folder:
        flight = self._flights[page] = _Flight()
        try:
            folder = await self._source.list_folder(
                page.prefix, token=page.token, limit=self._page_objects
            )
            flight.folder = folder
        except UpstreamError as error:
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
        self._kept[page] = self._now() + self._ttl_s, folder
        self._kept.move_to_end(page)
        while len(self._kept) > KEPT_PAGES:
            self._kept.popitem(last=False)
