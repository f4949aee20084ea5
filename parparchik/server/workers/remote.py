"""The parent as its worker sees it, at the other end of a channel."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import partial

import msgspec
import trio

from parparchik.errors import Unavailable
from parparchik.model import Bucket, Entry
from parparchik.registry import Relocation, bucket_index, size_and_time
from parparchik.server.shared_cache import Outdated, SharedCache
from parparchik.server.workers import messages as m
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.owner import Audience

FIND_LIMIT_S = 2.0
"""How long a request waits for the parent's entry of a key; after that it is answered 503."""

BATCH_S = 0.01
"""What is learned of S3 is held back for so long, so that a flood of it makes few messages."""

REPORTS_MAX = 10_000
"""Held back for a parent that does not read. Beyond it all of them are dropped, and the mirror with
them: what is asked for again is learned again."""

FORGET_LIMIT_S = 20.0
"""For all others to have forgotten what was changed here. The parent has limits of its own, well
below this one, for each of them."""

SILENT_S = 5.0
"""A parent says something every second; one that has not for so long is not well."""


class _Finding:
    __slots__ = ("found", "waiting")

    def __init__(self) -> None:
        self.found = trio.Event()
        self.waiting = 0


class RemoteOwner:
    """`owner.Owner` over a channel. `run` and `handle` have to be at work."""

    def __init__(self, channel: Channel, buckets: Sequence[Bucket], instance: str = "") -> None:
        self.instance = instance
        self._channel = channel
        self._buckets = tuple(buckets)
        self._audience: Audience | None = None
        self._state = m.State(ready=False, reason="starting", count=0)
        self._heard_at = trio.current_time()
        self._finding: dict[str, _Finding] = {}
        self._unasked: dict[str, None] = {}
        self._unasked_wake = trio.Event()
        self._reports: list[m.Change] = []
        self._reports_wake = trio.Event()
        self._lists = 0

    # -- management ---------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return self._state.ready

    @property
    def count(self) -> int:
        return self._state.count

    def reason(self) -> str | None:
        if self._channel.closed or trio.current_time() - self._heard_at > SILENT_S:
            return "the parent process does not answer"
        return self._state.reason

    async def update(self, key: str) -> Entry | None:
        located = await self._channel.call(m.Located, partial(m.Update, key=key))
        return self._entry(located.row)

    async def relocate(self, key: str) -> Relocation | None:
        said = await self._channel.call(m.Relocated, partial(m.Relocate, key=key))
        entry = self._entry(said.row)
        if entry is None:
            return None
        return Relocation(entry, said.relocated_from, said.relocated_to, said.duplicate, said.note)

    async def sync(self) -> None:
        await self._channel.call(m.Synced, m.Sync)

    async def sorted_batches(self) -> AsyncGenerator[list[Entry], None]:
        """The parent holds where the list is; a batch is asked for when the one before has been
        taken, so a client that reads slowly costs a batch here and nothing there."""
        self._lists += 1
        number, ended = self._lists, False
        try:
            while not ended:
                batch = await self._channel.call(m.Batch, partial(m.NextBatch, list=number))
                ended = not batch.rows
                if batch.rows:
                    yield [entry for row in batch.rows if (entry := self._entry(row))]
        finally:
            if not ended:
                self._channel.post(m.CloseList(number))

    async def render(self, accept: str) -> tuple[str, bytes]:
        rendered = await self._channel.call(m.Rendered, partial(m.Render, accept=accept))
        return rendered.content_type, rendered.body

    def _entry(self, row: m.Row | None) -> Entry | None:
        if row is None:
            return None
        key, value = row
        packed = m.from_bytes(value)
        if packed is None:
            return None
        return Entry(key, self._buckets[bucket_index(packed)], *size_and_time(packed))

    # -- caches -------------------------------------------------------------------------------

    async def join(self) -> None:
        """Say that objects are kept here from now on. Raises Unavailable."""
        await self._channel.call(m.Joined, m.Join)

    async def forget(self, outdated: Outdated, asker: SharedCache, *, settled: bool) -> int:
        """As `shared_cache.Others` has it."""
        drop = partial(
            m.Drop,
            names=list(outdated.names),
            below=list(outdated.below),
            settled=settled,
            by_peer=outdated.by_peer,
        )
        with trio.move_on_after(FORGET_LIMIT_S):
            return (await self._channel.call(m.Dropped, drop)).objects
        raise Unavailable("the parent process does not answer")

    # -- entries ------------------------------------------------------------------------------

    def tell(self, audience: Audience) -> None:
        self._audience = audience

    async def find(self, key: str) -> None:
        finding = self._finding.get(key)
        if finding is None:
            finding = self._finding[key] = _Finding()
            self._unasked[key] = None
            self._unasked_wake.set()
        finding.waiting += 1
        try:
            with trio.move_on_after(FIND_LIMIT_S):
                await finding.found.wait()
        finally:
            finding.waiting -= 1
            if not finding.waiting and self._finding.get(key) is finding:
                del self._finding[key]
                self._unasked.pop(key, None)
        if not finding.found.is_set():
            raise Unavailable("the parent process does not answer")

    def report(self, changes: Iterable[m.Change]) -> None:
        self._reports += changes
        self._reports_wake.set()
        if len(self._reports) > REPORTS_MAX:
            self._reports.clear()
            if self._audience is not None:
                self._audience.changed_beyond_telling()

    # -- at work ------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask and report, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_for_entries)
            nursery.start_soon(self._report_changes)
            task_status.started()

    async def flush(self) -> None:
        """Returns when everything reported is on its way."""
        self._post_reports()
        await self._channel.flush()

    async def _ask_for_entries(self) -> None:
        while True:
            await self._unasked_wake.wait()
            self._unasked_wake = trio.Event()
            await self._channel.drained()
            keys, self._unasked = list(self._unasked), {}
            if keys:
                self._channel.post(m.Find(keys))

    async def _report_changes(self) -> None:
        while True:
            await self._reports_wake.wait()
            await trio.sleep(BATCH_S)
            self._reports_wake = trio.Event()
            await self._channel.drained()
            self._post_reports()

    def _post_reports(self) -> None:
        if self._reports:
            self._channel.post(m.Report(self._reports))
            self._reports = []

    def handle(self, message: msgspec.Struct) -> bool:
        """Take what the parent tells; whether it was meant for here."""
        self._heard_at = trio.current_time()
        match message:
            case m.State():
                self._state = message
            case m.Found():
                self._tell(message.rows)
                for key, _ in message.rows:
                    if finding := self._finding.pop(key, None):
                        finding.found.set()
            case m.Changes():
                self._tell(message.rows)
            case m.Forget():
                if self._audience is not None:
                    self._audience.changed_beyond_telling()
            case _:
                return False
        return True

    def _tell(self, rows: Iterable[m.Row]) -> None:
        if self._audience is not None:
            for key, value in rows:
                self._audience.changed(key, m.from_bytes(value))
