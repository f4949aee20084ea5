"""What S3 has against what it should have: both in the order of digests, a page at a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from parparchik.dedup.types import Blob
from parparchik.model import ListedObject

_NAME = re.compile(r"([0-9a-f]{64})(?:-[0-9a-f]{8})?", re.ASCII)


def digest_in(key: str, prefix: str) -> str | None:
    """The digest that a key of ours is named after, at whatever depth; None for another's."""
    if not key.startswith(prefix):
        return None
    *folders, name = key[len(prefix) :].split("/")
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    digest = match[1]
    return (
        digest if folders == [digest[2 * at : 2 * at + 2] for at in range(len(folders))] else None
    )


class Listed(NamedTuple):
    digest: str
    item: ListedObject


class Difference(NamedTuple):
    """`strays` are objects that are no blob's, `absent` blobs whose object was not listed."""

    strays: list[ListedObject]
    absent: list[Blob]


class Comparison:
    """`blobs` are closed by whoever opened them. An object that is listed out of order makes
    its blob seem absent, and is a stray: both are to be asked again before it is believed."""

    def __init__(self, blobs: AsyncIterator[Sequence[Blob]]) -> None:
        self._blobs = blobs
        self._due: list[Blob] = []  # the next ones, in reverse
        self._open: dict[str, Listed] = {}  # not yet compared, by key

    async def page(self, listed: Sequence[Listed]) -> Difference:
        """What a page settles: all that comes before its last digest, of which there may be more
        on the next."""
        self._open.update((each.item.key, each) for each in listed)
        if not listed:
            return Difference([], [])
        return await self._settle(listed[-1].digest)

    async def end(self) -> Difference:
        return await self._settle(None)

    async def _settle(self, before: str | None) -> Difference:
        absent: list[Blob] = []
        while (blob := await self._next(before)) is not None:
            if self._open.pop(blob.key, None) is None:
                absent.append(blob)
        settled = [each for each in self._open.values() if before is None or each.digest < before]
        for each in settled:
            del self._open[each.item.key]
        return Difference([each.item for each in settled], absent)

    async def _next(self, before: str | None) -> Blob | None:
        while not self._due:
            page = await anext(self._blobs, None)
            if page is None:
                return None
            self._due = list(reversed(page))
        if before is not None and self._due[-1].digest >= before:
            return None
        return self._due.pop()
