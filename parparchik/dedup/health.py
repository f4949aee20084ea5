"""Whether what the store stands on works: asked by anybody, so not more often than is useful."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from parparchik.content import ObjectBytes
from parparchik.dedup.types import Metadata
from parparchik.errors import ParparchikError

LIMIT_S = 2.0
GOOD_FOR_S = 1.0
"""How long what was found is told to whoever asks then."""

OK = "ok"


class StoreHealth:
    """`prefix` is where in the bucket the blobs are."""

    def __init__(self, metadata: Metadata, bucket: ObjectBytes, prefix: str) -> None:
        self._metadata = metadata
        self._bucket = bucket
        self._prefix = prefix
        self._asking = trio.Lock()
        self._found: Mapping[str, str] = {}
        self._found_at_s = float("-inf")

    async def check(self) -> Mapping[str, str]:
        """By the name of each: "ok", or why not, fit for anybody."""
        async with self._asking:
            if trio.current_time() - self._found_at_s >= GOOD_FOR_S:
                self._found = await self._ask()
                self._found_at_s = trio.current_time()
            return self._found

    async def _ask(self) -> Mapping[str, str]:
        found: dict[str, str] = {}

        async def look(name: str, ask: Callable[[], Awaitable[object]]) -> None:
            found[name] = await _outcome(ask)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, "metadata", self._metadata.check)
            nursery.start_soon(look, "s3", self._list)
        return {name: found[name] for name in sorted(found)}

    async def _list(self) -> None:
        await self._bucket.list_folder(self._prefix, limit=1)


async def _outcome(ask: Callable[[], Awaitable[object]]) -> str:
    with trio.move_on_after(LIMIT_S) as limit:
        try:
            await ask()
        except ParparchikError as error:
            return error.client_message
    return f"no answer within {LIMIT_S:g} s" if limit.cancelled_caught else OK
