"""The registry at work: one object that serves requests, the management API and the metrics."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import trio

from parparchik.config.model import RoutesConfig
from parparchik.model import Entry, ObjectStore
from parparchik.registry.entries import Registry, RegistryStatistics
from parparchik.registry.listing import apply, list_all
from parparchik.registry.presence import Prober
from parparchik.registry.progress import Progress
from parparchik.registry.resolution import Resolution
from parparchik.registry.startup import Startup
from parparchik.registry.verify import Resolver
from parparchik.registry.writer import ManifestUnread, ManifestWriter


@dataclass(frozen=True, slots=True)
class Relocation:
    """Where a file is, as every bucket was asked. `relocated_from` and `relocated_to` are bucket
    names, set when that is another bucket than the registry had."""

    entry: Entry
    relocated_from: str | None = None
    relocated_to: str | None = None
    duplicate: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceStatistics:
    """A snapshot for metrics and /status. Counters only grow; `errors` has a bucket's last one,
    '' when its last request went well."""

    registry: RegistryStatistics
    ready: bool
    verifications: tuple[tuple[str, int], ...]
    stale_answers: int
    manifest_writes: tuple[tuple[str, str, int], ...]
    reachable: tuple[tuple[str, bool], ...]
    errors: tuple[tuple[str, str], ...]


class _Pass:
    """One reading of all buckets that several callers wait for."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.ended = False


class Service:
    """Built once; its three background tasks (`start_up`, `renew`, `write_manifests`) are run by
    whoever supervises them. Everything else may be called before, during and after."""

    def __init__(
        self,
        stores: Sequence[ObjectStore],
        config: RoutesConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.registry = Registry([store.bucket for store in stores], now())
        self.progress = Progress()
        self.prober = Prober(stores, config.max_probes)
        self.resolver = Resolver(self.registry, self.prober, config)
        self.writer = ManifestWriter(self.registry, stores, config.manifest_window_s)
        self.ready = False
        self.resolve_nowait = self.resolver.resolve_nowait
        self.resolve_soon = self.resolver.resolve_soon
        self._startup = Startup(
            registry=self.registry,
            resolver=self.resolver,
            prober=self.prober,
            writer=self.writer,
            progress=self.progress,
            max_in_flight=config.max_probes,
        )
        self._stores = tuple(stores)
        self._now = now
        self._pass: _Pass | None = None

    @property
    def count(self) -> int:
        return len(self.registry)

    # -- background tasks ---------------------------------------------------------------------

    async def start_up(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read, reconcile, become ready; then it returns."""
        task_status.started()
        await self._startup.run()
        self.ready = True

    async def renew(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Verify in the background what is asked for often. Runs until cancelled."""
        task_status.started()
        await self.resolver.run()

    async def write_manifests(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep the manifests up to date. Runs until cancelled."""
        task_status.started()
        await self.writer.run()

    async def shutdown(self) -> None:
        """Write the last change. Raises PersistFailed."""
        await self.writer.flush()

    # -- requests -----------------------------------------------------------------------------

    async def resolve(self, key: str) -> Resolution:
        """Where `key` is, when `resolve_nowait` gave None. Raises UpstreamError."""
        return await self.resolver.resolve(key)

    async def update(self, key: str) -> Entry | None:
        """Verify `key`, or search it in every bucket, now; returns after the manifests have it.
        Raises UpstreamError and PersistFailed."""
        before = self.registry.get(key)
        resolution = await self.resolver.verify(key)
        await self._persist(before, resolution.entry)
        return resolution.entry

    async def relocate(self, key: str) -> Relocation | None:
        """Ask every bucket for `key` and give it to the one of highest priority that has it;
        None, and no entry any more, where none has. Raises UpstreamError when a bucket cannot
        tell, and PersistFailed."""
        before = self.registry.get(key)
        async with self.prober.slots:
            presence = await self.prober.everywhere(key)
        if presence.errors:
            raise presence.errors[0]
        if not presence.heads:
            self.resolver.forget(key)
            await self._persist(before)
            return None
        names = [self._stores[index].bucket.name for index, _ in presence.heads]
        entry = self.resolver.learn(key, *presence.heads[0]).entry
        assert entry is not None  # noqa: S101  `learn` gives what it was given
        self.registry.set_duplicate(key, len(names) > 1)
        await self._persist(before, entry)
        moved = before is not None and before.bucket.name != names[0]
        return Relocation(
            entry,
            relocated_from=before.bucket.name if before is not None and moved else None,
            relocated_to=names[0] if moved else None,
            duplicate=len(names) > 1,
            note=f"also in {', '.join(names[1:])}; {names[0]} has the highest priority"
            if len(names) > 1
            else None,
        )

    async def _persist(self, *entries: Entry | None) -> None:
        """Returns when the manifests of the buckets that these entries are in, or were in, are
        in S3 as the registry has them. Raises PersistFailed."""
        names = {entry.bucket.name for entry in entries if entry is not None}
        files = [file for file in self.writer.files if file.store.bucket.name in names]
        await self.writer.flush(files)
        if unread := [file.store.bucket.name for file in files if not file.adopted]:
            raise ManifestUnread(f"the manifest has not been read yet: {', '.join(unread)}")

    async def sync(self) -> None:
        """Read all buckets by listing and make the registry what they hold; writes nothing
        itself. Who calls while a pass runs shares it. Raises UpstreamError, with the
        registry untouched, when a bucket cannot be listed."""
        while True:
            shared = self._pass
            if shared is None:
                break
            await shared.done.wait()
            if shared.ended:
                if shared.error is not None:
                    raise shared.error
                return
        shared = self._pass = _Pass()
        try:
            since = trio.current_time()
            picture = await list_all(self._stores, Progress())
            await apply(picture, self.registry, self.resolver, since)
            shared.ended = True
        except Exception as error:
            shared.error, shared.ended = error, True
            raise
        finally:
            self._pass = None
            shared.done.set()

    async def sorted_batches(self) -> AsyncGenerator[list[Entry], None]:
        """Every entry by key, at most 1,000 at a time; others run in between."""
        for batch in self.registry.sorted_batches():
            if batch:
                yield batch
            await trio.lowlevel.checkpoint()

    # -- statistics ---------------------------------------------------------------------------

    def statistics(self) -> ServiceStatistics:
        names = [store.bucket.name for store in self._stores]
        health = self.prober.health
        return ServiceStatistics(
            registry=self.registry.statistics(self._now()),
            ready=self.ready,
            verifications=tuple(self.resolver.outcomes.items()),
            stale_answers=self.resolver.outcomes["stale"],
            manifest_writes=tuple(
                (file.store.bucket.name, outcome, count)
                for file in self.writer.files
                for outcome, count in file.outcomes.items()
            ),
            reachable=tuple((name, h.reachable) for name, h in zip(names, health, strict=True)),
            errors=tuple(
                (name, file.last_error or h.last_error)
                for name, h, file in zip(names, health, self.writer.files, strict=True)
            ),
        )
