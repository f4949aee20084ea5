"""Filling a server's cache: keys go to it in batches, several at a time, at a rate.

Only the batches under way are in memory, however many keys there are. What is cached already costs
the server a look: an interrupted run is resumed by starting it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
import trio

from parparchik.cli.failures import CommandError
from parparchik.cli.management import ManagementAPI, Refusal

BATCH = 50  # keys; the server takes more, but would tell of nothing until all are there
_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.5
_MAY_PASS = (0, 429, 502, 503, 504)  # worth another attempt
_FOR_ALL_KEYS = (0, 401, 403, 404, 405)  # no other key would fare better

Key = tuple[str, str]
"""Bucket and key."""


class NotWarmed(msgspec.Struct, frozen=True):
    key: str
    error: str


class Warmed(msgspec.Struct, frozen=True):
    """What the server says of a batch: as much of it as is used here."""

    warmed: int
    bytes: int
    missing: list[str]
    passed: list[str]
    errors: list[NotWarmed]


@dataclass(slots=True)
class Tally:
    """What became of the keys so far. `warmed_bytes` is what the objects have together, cached
    before or not; S3 has none of those that are `missing`, and those that are `passed` are never
    kept: too large, or not to be stored."""

    warmed: int = 0
    warmed_bytes: int = 0
    missing: int = 0
    passed: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        return self.warmed + self.missing + self.passed + self.failed

    def __str__(self) -> str:
        return (
            f"{self.warmed} objects of {self.warmed_bytes} bytes are in the cache,"
            f" {self.passed} are never kept, {self.missing} missing, {self.failed} failed"
        )


@dataclass(frozen=True, slots=True)
class Warmer:
    """`on_failure` is told key and reason of each that failed, `on_progress` of each batch."""

    api: ManagementAPI
    tally: Tally
    on_failure: Callable[[str, str, str], object]
    on_progress: Callable[[], object]
    parallel: int = 4
    rate_per_s: float | None = None

    async def run(self, keys: Iterator[Key]) -> None:
        """Until the keys end. Raises Refusal when the server will take none of them."""
        batch = BATCH if self.rate_per_s is None else max(1, min(BATCH, int(self.rate_per_s)))
        send, receive = trio.open_memory_channel[list[Key]](0)
        async with trio.open_nursery() as nursery:
            for _ in range(self.parallel):
                nursery.start_soon(self._work, receive.clone())
            receive.close()
            async with send:
                due = trio.current_time()
                # Files and standard input block; `keys` is read by one thread at a time.
                while some := await trio.to_thread.run_sync(
                    _take, keys, batch, abandon_on_cancel=True
                ):
                    await trio.sleep_until(due)
                    if self.rate_per_s is not None:
                        due = max(due, trio.current_time() - 1.0) + len(some) / self.rate_per_s
                    await send.send(some)

    async def _work(self, batches: trio.MemoryReceiveChannel[list[Key]]) -> None:
        async with batches:
            async for batch in batches:
                for bucket, keys in _by_bucket(batch):
                    await self._warm(bucket, keys)
                    self.on_progress()

    async def _warm(self, bucket: str, keys: list[str]) -> None:
        try:
            answer = await self._ask({"bucket": bucket, "keys": keys})
        except Refusal as refusal:
            if refusal.status in _FOR_ALL_KEYS:
                raise
            for key in keys:
                self._fail(bucket, key, str(refusal))
            return
        self.tally.warmed += answer.warmed
        self.tally.warmed_bytes += answer.bytes
        self.tally.missing += len(answer.missing)
        self.tally.passed += len(answer.passed)
        for one in answer.errors:
            self._fail(bucket, one.key, one.error)

    def _fail(self, bucket: str, key: str, reason: str) -> None:
        self.tally.failed += 1
        self.on_failure(bucket, key, reason)

    async def _ask(self, question: dict[str, object]) -> Warmed:
        pause_s = _FIRST_PAUSE_S
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._ask_once(question)
            except Refusal as refusal:
                if refusal.status not in _MAY_PASS:
                    raise
            await trio.sleep(pause_s)
            pause_s *= 2
        return await self._ask_once(question)

    async def _ask_once(self, question: dict[str, object]) -> Warmed:
        answer = await trio.to_thread.run_sync(
            self.api.post, "/cache/warm", question, abandon_on_cancel=True
        )
        try:
            return msgspec.convert(answer, Warmed)
        except msgspec.ValidationError as error:
            raise CommandError(f"{self.api.url} said what it warmed otherwise: {error}") from None


def _take(keys: Iterator[Key], count: int) -> list[Key]:
    return list(islice(keys, count))


def _by_bucket(batch: Iterable[Key]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for bucket, key in batch:
        found.setdefault(bucket, []).append(key)
    return list(found.items())
