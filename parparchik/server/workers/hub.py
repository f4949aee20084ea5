"""The parent's side: one registry, and a port for each worker that stands on it.

A worker's report is applied as if the parent's own HEAD had said it, as long as the registry has
what the worker had seen before, or has what it sees now. Else two reports have crossed, and S3 is
asked (`disputes`). Every change of
the registry, whoever made it, is told at all ports: gathered for `BATCH_S`, with the value that a
key has by then, so a key that changes often costs no more. A worker that does not keep up, and all
of them when very many keys change at once, are told to forget what they know instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol, cast

import msgspec
import structlog
import trio

from parparchik.model import Entry, ObjectHead
from parparchik.registry import Service, bucket_index, pack, size_and_time
from parparchik.server.workers import messages as m
from parparchik.server.workers.channel import Channel
from parparchik.server.workers.disputes import Disputes
from parparchik.server.workers.faults import to_message
from parparchik.web import Exposition, Readiness

BATCH_S = 0.01
CHANGES_MAX = 10_000
"""Keys that wait to be told of at one port; beyond it everything is to be forgotten."""

LOOK_S = 0.05
"""How often readiness is looked at: nobody tells when it changes."""

ALIVE_S = 1.0
"""A port says something at least so often."""

log = structlog.get_logger(__name__)


class Hub:
    """Keeps the ports of one registry told. `run` has to be at work."""

    def __init__(self, service: Service, readiness: Readiness, exposition: Exposition) -> None:
        self.service = service
        self.exposition = exposition
        self.ports: set[Port] = set()
        self._readiness = readiness
        self._retired = False
        self._disputes = Disputes(service.resolver.verify, self._tell_all)
        service.registry.on_change = self._changed

    def state(self) -> m.State:
        service = self.service
        return m.State(service.ready, self._readiness.reason(), service.count)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell of readiness, and that the parent lives; settle disputes. Until cancelled, or
        retired and left by all: a registry that nobody stands on any more must not be kept."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._disputes.run)
            while self.ports or not self._retired:
                for port in self.ports:
                    port.tell_state()
                await trio.sleep(LOOK_S)
            nursery.cancel_scope.cancel()

    def retire(self) -> None:
        """No worker will be started on it any more."""
        self._retired = True

    def flush(self) -> None:
        """Tell of every change so far."""
        for port in self.ports:
            port.flush()

    def _changed(self, keys: Iterable[str]) -> None:
        if self.ports:
            keys = list(keys)
            for port in self.ports:
                port.note(keys)

    def _tell_all(self, key: str) -> None:
        """Also where nothing has changed: some worker knows it otherwise."""
        self._changed([key])

    def apply(self, changes: Iterable[m.Change], reporter: Port) -> None:
        """What a worker's HEADs have changed."""
        registry, resolver = self.service.registry, self.service.resolver
        for change in changes:
            key, seen, now = change.key, m.from_bytes(change.seen), m.from_bytes(change.now)
            if change.duplicate is not None:
                registry.set_duplicate(key, change.duplicate)
            elif key in self._disputes or registry.packed(key) not in (seen, now):
                if not self._disputes.add(key):
                    reporter.note([key])  # and has to do with what is there
            elif now is not None:
                size_bytes, last_modified_s = size_and_time(now)
                resolver.learn(key, bucket_index(now), ObjectHead(size_bytes, last_modified_s))
            else:
                resolver.forget(key)


class Question(Protocol):
    @property
    def id(self) -> int: ...


class Port:
    """What one worker asks, and what it is told. `run` has to be at work."""

    def __init__(self, hub: Hub, channel: Channel) -> None:
        self._hub = hub
        self._channel = channel
        self._pending: dict[str, None] = {}
        self._forget = False
        self._wake = trio.Event()
        self._told: m.State | None = None
        self._told_at = -ALIVE_S
        self._lists: dict[int, Iterator[list[tuple[str, int]]]] = {}
        self._answers: dict[type[object], Callable[..., Awaitable[msgspec.Struct]]] = {
            m.Update: self._update,
            m.Relocate: self._relocate,
            m.Sync: self._sync,
            m.Render: self._render,
            m.NextBatch: self._next_batch,
        }

    async def run(self, handle: Callable[[msgspec.Struct], object]) -> None:
        """Serve the worker until its end of the channel is closed. `handle` gets what is no
        concern of the registry."""
        self._hub.ports.add(self)
        self.tell_state()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell)

                def dispatch(message: msgspec.Struct) -> None:
                    match message:
                        case m.Find():
                            self._find(message.keys)
                        case m.Report():
                            self._hub.apply(message.changes, self)
                        case m.CloseList():
                            self._lists.pop(message.list, None)
                        case _ if type(message) in self._answers:
                            nursery.start_soon(self._answer, cast("Question", message))
                        case _:
                            handle(message)

                await self._channel.run(dispatch)
                nursery.cancel_scope.cancel()
        finally:
            self._hub.ports.discard(self)

    # -- telling ------------------------------------------------------------------------------

    def note(self, keys: Iterable[str]) -> None:
        """The entries of `keys` have changed."""
        if not self._forget:
            self._pending.update(dict.fromkeys(keys))
            if len(self._pending) > CHANGES_MAX:
                self._pending.clear()
                self._forget = True
        self._wake.set()

    def flush(self) -> None:
        if self._forget:
            self._forget = False
            self._channel.post(m.Forget())
        elif self._pending:
            self._channel.post(m.Changes(self._rows(self._pending)))
        self._pending.clear()
        self.tell_state()

    def tell_state(self) -> None:
        state, now = self._hub.state(), trio.current_time()
        if state != self._told or now - self._told_at >= ALIVE_S:
            self._told, self._told_at = state, now
            self._channel.post(state)

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            await trio.sleep(BATCH_S)
            await self._channel.drained()
            self._wake = trio.Event()
            self.flush()

    def _rows(self, keys: Iterable[str]) -> list[m.Row]:
        packed = self._hub.service.registry.packed
        return [(key, m.to_bytes(packed(key))) for key in keys]

    # -- answering ----------------------------------------------------------------------------

    def _find(self, keys: list[str]) -> None:
        self._channel.post(m.Found(self._rows(keys)))

    async def _answer(self, question: Question) -> None:
        try:
            answer = await self._answers[type(question)](question)
        except Exception as error:  # the worker's client is owed an answer, whatever failed
            failed = to_message(question.id, error)
            if failed is None:
                log.exception("request of a worker failed", question=type(question).__name__)
                failed = m.Failed(question.id, "", "the parent process has failed")
            answer = failed
        # Before the answer, so that it is true wherever it is heard.
        self._hub.flush()
        await self._channel.send(answer)

    async def _update(self, question: m.Update) -> m.Located:
        entry = await self._hub.service.update(question.key)
        return m.Located(question.id, self._row(entry))

    async def _relocate(self, question: m.Relocate) -> m.Relocated:
        moved = await self._hub.service.relocate(question.key)
        if moved is None:
            return m.Relocated(question.id, None)
        return m.Relocated(
            question.id,
            self._row(moved.entry),
            moved.relocated_from,
            moved.relocated_to,
            moved.duplicate,
            moved.note,
        )

    async def _sync(self, question: m.Sync) -> m.Synced:
        await self._hub.service.sync()
        return m.Synced(question.id)

    async def _render(self, question: m.Render) -> m.Rendered:
        content_type, body = await self._hub.exposition.render(question.accept)
        return m.Rendered(question.id, content_type, body)

    async def _next_batch(self, question: m.NextBatch) -> m.Batch:
        walk = self._lists.get(question.list)
        if walk is None:
            walk = self._lists[question.list] = self._hub.service.registry.sorted_slices()
        for slice_ in walk:
            await trio.lowlevel.checkpoint()
            if slice_:
                return m.Batch(question.id, [(key, m.to_bytes(value)) for key, value in slice_])
        self._lists.pop(question.list, None)
        return m.Batch(question.id, [])

    def _row(self, entry: Entry | None) -> m.Row | None:
        if entry is None:
            return None
        index = self._hub.service.registry.buckets.index(entry.bucket)
        return entry.key, m.to_bytes(pack(index, entry.size_bytes, entry.last_modified_s))
