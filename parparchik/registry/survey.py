"""Which of the registry's keys one bucket has, with as few requests as may be.

A HEAD per key, many at a time, or listings of 1,000 keys, one after the other: which is cheaper
depends on how much else the bucket holds, and nobody knows that beforehand. So the listing is begun
and watched. Keys and listing are in the same order, so after each page everything up to its last
key is settled; when the pages settle too few keys each, the listing is given up and the rest is
asked for by HEAD. Nothing that a page has settled is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

from parparchik.errors import Unavailable, UpstreamError
from parparchik.model import ObjectHead
from parparchik.registry.entries import pack
from parparchik.registry.presence import Prober
from parparchik.registry.progress import Progress

# One page weighs as much as so many HEADs: S3 charges twelve times the price for it, and pages
# come one after the other while HEADs run side by side.
PAGE_WEIGHT = 16
# How often in a row the same key may fail before it is left as unknown.
ATTEMPTS = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

UNKNOWN = -2  # S3 could not tell: nothing may be concluded
ABSENT = -1


class Survey:
    """The answers of one bucket: for each of `keys`, the packed value, ABSENT or UNKNOWN."""

    def __init__(self, prober: Prober, index: int, keys: list[str], progress: Progress) -> None:
        self.answers = [UNKNOWN] * len(keys)
        self.pages = 0
        self.heads = 0
        self._settled = 0
        self._failed_in_a_row = 0
        self._prober = prober
        self._index = index
        self._keys = keys
        self._progress = progress

    async def run(self, max_in_flight: int) -> None:
        """Settle every key that can be settled; waits out an outage. Raises nothing of S3's: a
        key whose own requests keep failing stays UNKNOWN."""
        settled = await self._list()
        await self._ask(settled, max_in_flight)

    # -- listing ------------------------------------------------------------------------------

    async def _list(self) -> int:
        """List as long as that pays; returns how many keys, from the first, are settled."""
        keys, store = self._keys, self._prober.stores[self._index]
        if len(keys) <= PAGE_WEIGHT:
            return 0
        settled, last, token = 0, "", None
        start_after = keys[0][:-1] or None  # sorts before the first key; pages before it are vain
        while settled < len(keys):
            try:
                page = await store.list_page(token=token, start_after=start_after)
            except UpstreamError:
                return settled
            self.pages += 1
            before = settled
            for item in page.objects:
                if item.key <= last:
                    # Not the order that S3 promises: nothing can be concluded, nor could before.
                    self.answers = [UNKNOWN] * len(keys)
                    self._progress.advance(-before)
                    return 0
                last = item.key
                settled = self._settle(settled, item.key, item.head)
            if page.next_token is None:
                for position in range(settled, len(keys)):
                    self.answers[position] = ABSENT
                settled = len(keys)
            self._progress.advance(settled - before)
            token, start_after = page.next_token, None
            if settled < self.pages * PAGE_WEIGHT:
                break
            await trio.lowlevel.checkpoint()
        return settled

    def _settle(self, position: int, listed: str, head: ObjectHead) -> int:
        """The listing has come to `listed`: keys before it are absent. Returns the position of
        the first key behind it."""
        keys, answers = self._keys, self.answers
        while position < len(keys) and keys[position] < listed:
            answers[position] = ABSENT
            position += 1
        if position < len(keys) and keys[position] == listed:
            reserved = self._prober.stores[self._index].bucket.reserves(listed)
            answers[position] = ABSENT if reserved else self._packed(head)
            position += 1
        return position

    # -- HEADs --------------------------------------------------------------------------------

    async def _ask(self, start: int, max_in_flight: int) -> None:
        pending = [(position, 0) for position in range(start, len(self._keys))]
        while pending:
            failed: list[tuple[int, int]] = []
            untried, settled_before, self._failed_in_a_row = iter(pending), self._settled, 0
            async with trio.open_nursery() as nursery:
                for _ in range(min(max_in_flight, len(pending))):
                    nursery.start_soon(self._ask_some, untried, failed)
            pending = list(untried)
            if not failed:
                continue
            if self._settled > settled_before or await self._answers():
                # S3 is there: it is these keys that it stumbles over.
                again = [(n, tries + 1) for n, tries in failed if tries + 1 < ATTEMPTS]
                self._progress.advance(len(failed) - len(again))
                pending += again
                if pending:
                    await trio.sleep(FIRST_PAUSE_S)
            else:
                pending += failed
                await self._wait()

    async def _wait(self) -> None:
        """Returns when S3 answers again."""
        pause_s = FIRST_PAUSE_S
        await trio.sleep(pause_s)
        while not await self._answers():
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            await trio.sleep(pause_s)

    async def _ask_some(
        self, untried: Iterator[tuple[int, int]], failed: list[tuple[int, int]]
    ) -> None:
        """Ask for one key after the other, until none is left or S3 stops answering: then the
        others would only fail as well."""
        store = self._prober.stores[self._index]
        while self._failed_in_a_row < ATTEMPTS:
            position, tries = next(untried, (-1, 0))
            if position < 0:
                return
            key = self._keys[position]
            try:
                head = None if store.bucket.reserves(key) else await self._head(key)
            except Unavailable:
                failed.append((position, tries))
                self._failed_in_a_row += 1
                continue
            except UpstreamError:
                pass  # refused: stays unknown, and asking again would not help
            else:
                self.answers[position] = ABSENT if head is None else self._packed(head)
            self._settled += 1
            self._failed_in_a_row = 0
            self._progress.advance()

    async def _answers(self) -> bool:
        """Whether S3 answers for this bucket at all, asked by a key that is always asked for."""
        try:
            await self._head(self._prober.stores[self._index].bucket.manifest_key)
        except Unavailable:
            return False
        except UpstreamError:
            pass
        return True

    async def _head(self, key: str) -> ObjectHead | None:
        self.heads += 1
        return await self._prober.head_anyway(self._index, key)

    def _packed(self, head: ObjectHead) -> int:
        return pack(self._index, head.size_bytes, head.last_modified_s)
