"""What S3 sends for one asker alone, and is not kept.

An answer that may not be kept, or is too large to be, is streamed through. Its `Passage` is handed
to the reader of its `Found`; where that never comes, as when the client's own condition made the
body unnecessary, the connection is given up after a while.
"""

from __future__ import annotations

import trio

from parparchik.content import Download, Span

PATIENCE_S = 10.0
CLOSE_S = 5.0


class Passage:
    """A download that waits for its one reader."""

    __slots__ = ("_taken", "download")

    def __init__(self, download: Download) -> None:
        self.download = download
        self._taken = trio.Event()

    def take(self, span: Span) -> Download | None:
        """The download, whose closing is the taker's from now on, where it has that span and
        nobody has taken it."""
        sent = self.download.span
        if self._taken.is_set() or span.first < sent.first or span.last > sent.last:
            return None
        self._taken.set()
        return self.download

    async def attend(self) -> None:
        """Until it is taken, or nobody comes."""
        try:
            with trio.move_on_after(PATIENCE_S):
                await self._taken.wait()
        finally:
            if not self._taken.is_set():
                self._taken.set()
                await close(self.download)


async def close(download: Download) -> None:
    """Part with a download, also when cancelled, without waiting for long."""
    with trio.move_on_after(CLOSE_S, shield=True):
        await download.aclose()
