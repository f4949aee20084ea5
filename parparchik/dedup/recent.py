"""Small files that were read lately, answered from memory for as long as nothing has changed.

The metadata say in a few microseconds whether anybody, another process too, has changed anything
since (`Watched.state`). If so they are asked what is at the path now; where that is the same file,
its content is the same, and S3 need not be asked again. So nobody ever gets what a change that was
acknowledged has replaced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from parparchik.dedup.store import Opened
from parparchik.dedup.types import File
from parparchik.model import Answer

LARGEST_BYTES = 64 * 1024
"""Of a file as it is stored: more than that is worth a request to S3."""

_OVERHEAD_BYTES = 1024
"""Of a file that is kept, beside its bytes: its names, headers, and places in tables."""


class Watched(Protocol):
    """Metadata that can be asked whether they have changed."""

    def state(self) -> int | None:
        """Another number after every change, by whatever process. None: that cannot be told
        without waiting."""
        ...

    async def get(self, path: str) -> File | None: ...


class _Kept(NamedTuple):
    """`file` was at its path when the metadata were in `state`."""

    state: int | None
    file: File
    answer: Answer


class Recent:
    """At most `budget_bytes` are kept, 0 for nothing; who was not asked for longest goes first.
    `hit` is called for each answer from here."""

    def __init__(
        self, metadata: Watched, budget_bytes: int, *, hit: Callable[[], object] = lambda: None
    ) -> None:
        self._metadata = metadata
        self._budget_bytes = budget_bytes
        self._hit = hit
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def state(self) -> int | None:
        """To be given to `keep`, and asked for before the file is opened."""
        return self._metadata.state()

    def takes(self, size_bytes: int) -> bool:
        return size_bytes <= LARGEST_BYTES and size_bytes + _OVERHEAD_BYTES <= self._budget_bytes

    def answer_nowait(self, path: str) -> Answer | None:
        """The same object each time, until something has changed."""
        kept = self._kept.get(path)
        if kept is None or kept.state is None or kept.state != self._metadata.state():
            return None
        self._kept.move_to_end(path)
        self._hit()
        return kept.answer

    async def answer(self, path: str) -> Answer | None:
        """Where the file is still the one that is kept; None: it has to be opened. Raises
        Unavailable."""
        if path not in self._kept:
            return None
        state = self._metadata.state()
        file = await self._metadata.get(path)
        kept = self._kept.get(path)  # others may have been here meanwhile
        if kept is None or file != kept.file:
            self._forget(path)
            return None
        self._kept[path] = kept._replace(state=state)
        self._kept.move_to_end(path)
        self._hit()
        return kept.answer

    def keep(self, state: int | None, file: File, answer: Answer) -> None:
        """`answer` has all of `file`, which was opened when the metadata were in `state`."""
        self._forget(file.path)
        self._kept[file.path] = _Kept(state, file, answer)
        self.used_bytes += len(answer.body) + _OVERHEAD_BYTES
        while self.used_bytes > self._budget_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, path: str) -> None:
        kept = self._kept.pop(path, None)
        if kept is not None:
            self.used_bytes -= len(kept.answer.body) + _OVERHEAD_BYTES


async def whole(opened: Opened) -> bytes:
    """The content of what is small; it is closed by this. Raises UpstreamError where not all of it
    comes."""
    pieces = []
    try:
        while (piece := await opened.content.read()) is not None:
            pieces.append(piece)
    finally:
        opened.content.close()
    return b"".join(pieces)
