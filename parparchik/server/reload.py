"""SIGHUP: the settings are read again, and another application takes the place of the running one.

The new one is built beside the old, reads manifests and reconciles, and answers only when it is
ready; connections stay open. Settings that cannot work change nothing. What the old one has learnt
is in the manifests before it goes: the two write them as any two servers do, each merging what the
other has added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Protocol

import structlog
import trio

from parparchik.cache import discard_directory
from parparchik.config import Loaded
from parparchik.config.model import Config, ServerConfig
from parparchik.errors import ConfigError, ParparchikError
from parparchik.registry import PersistFailed
from parparchik.server.byte_rooms import CACHE_DIR
from parparchik.server.log import configure_logging, configured_secrets
from parparchik.server.tls import Pem, read_pem
from parparchik.server.wire import Application, Process

RETIRE_AT_LEAST_S = 1.0

SAY_AFTER_S = 5.0
SAY_EVERY_S = 600.0
"""New settings that wait are told of after so long, then at intervals that double up to that."""

CHANGES_LIVE = {
    *("shutdown_delay_s", "shutdown_grace_s"),
    *("tls_certificate", "tls_key", "tls_min_version"),
}
"""What of the server's settings may change while the process runs; of all others everything may."""


log = structlog.get_logger(__name__)


class Lives(Protocol):
    """Whoever answers, and can be given another application to answer for."""

    def renew_certificate(self, config: ServerConfig, pem: Pem) -> None:
        """Raises ConfigError; then the one before stays."""
        ...

    async def install(self, application: Application) -> None:
        """Returns when it answers. Raises ParparchikError where it cannot; then the one before
        stays."""
        ...


class Reloader:
    """Keeps the present application, and changes it when asked to.

    `current` runs in `nursery` under `scope`. `reread` reads the settings; it may block. `build`
    makes an application of them.
    """

    def __init__(
        self,
        current: Application,
        scope: trio.CancelScope,
        process: Process,
        lives: Lives,
        *,
        reread: Callable[[], Loaded],
        build: Callable[[Config], Application],
        environ: Mapping[str, str],
        nursery: trio.Nursery,
    ) -> None:
        self._alive = [current]
        self._scope = scope
        self._process = process
        self._lives = lives
        self._reread = reread
        self._build = build
        self._environ = environ
        self._nursery = nursery
        self._asked = trio.Event()

    @property
    def alive(self) -> tuple[Application, ...]:
        """All that may have something to write. The last is the one that answers; those before
        it finish what they were asked."""
        return tuple(self._alive)

    def ask(self) -> None:
        """Settings are to be read; a reload that waits for its application gives way to this."""
        self._asked.set()

    async def run(self, stop: trio.Event) -> None:
        """Until cancelled. When the process is to `stop`, no other application takes over."""
        while not stop.is_set():
            await self._asked.wait()
            self._asked = trio.Event()
            prepared = None
            async with trio.open_nursery() as nursery:
                for event in (self._asked, stop):
                    nursery.start_soon(_give_way, event, nursery.cancel_scope)
                prepared = await self._prepare()
                nursery.cancel_scope.cancel()
            if prepared is not None:
                await self._change(*prepared)

    async def _prepare(self) -> tuple[Application, trio.CancelScope] | None:
        """An application that is ready to answer, and the scope that it runs under; None where
        the present one has to stay."""
        running = self._alive[-1].config
        try:
            loaded = await trio.to_thread.run_sync(self._reread)
            config = _runnable(running, loaded.config)
            new = self._build(config)
            self._renew_certificate(config.server)
        except ConfigError as error:
            log.error("settings refused, the running ones stay", reason=str(error))  # noqa: TRY400
            return None
        except Exception:  # whatever it is, it must not end what runs
            log.exception("settings refused, the running ones stay")
            return None
        for warning in loaded.warnings:
            log.warning(warning)
        if config == running:
            log.info("settings unchanged")
            return None
        self._configure_logging(running, config)
        log.info("settings read, their application starts beside the running one")
        scope = await self._nursery.start(new.run)
        try:
            await _until_ready(new)
        except BaseException:
            scope.cancel()
            raise
        return new, scope

    def _renew_certificate(self, config: ServerConfig) -> None:
        """At once, whatever else has changed: nobody must wait for a bucket with a certificate
        that ends. Raises ConfigError."""
        if config.tls_certificate is not None:
            self._lives.renew_certificate(config, read_pem(config))
            log.info("certificate read", file=str(config.tls_certificate))

    async def _change(self, new: Application, scope: trio.CancelScope) -> None:
        """Not to be given up half-way: where there are workers, some answer for `new` already."""
        try:
            await self._lives.install(new)
        except ParparchikError as error:
            scope.cancel()
            log.error("settings refused, the running ones stay", reason=str(error))  # noqa: TRY400
            return
        self._process.peers.use(new.config)
        old, old_scope = self._alive[-1], self._scope
        self._alive.append(new)
        self._scope = scope
        old.exposition.leave(self._process.earlier)
        self._hand_over_cache(old, new)
        self._configure_logging(new.config)
        buckets = {each.bucket.name: each.bucket.type for each in new.config.buckets}
        log.info("settings changed", buckets=buckets, verify=new.config.routes.verify)
        self._nursery.start_soon(self._retire, old, old_scope)

    def _hand_over_cache(self, old: Application, new: Application) -> None:
        """The directory goes to the new cache. What the old one has in memory it keeps for the
        requests that it was asked before; no further ones come to it. An upload among these tells
        the new cache when it is done (`Siblings`), as the new one tells the old."""
        old.let_go()
        if old.directory not in (None, new.directory):
            self._nursery.start_soon(discard_directory, old.directory, CACHE_DIR)

    async def _retire(self, old: Application, scope: trio.CancelScope) -> None:
        """Requests that it was asked before may still be under way, and need its tasks."""
        await _flush(old)
        s3 = old.config.s3
        await trio.sleep(max(RETIRE_AT_LEAST_S, s3.total_timeout_s, s3.probe_timeout_s))
        await _flush(old)
        scope.cancel()
        self._alive.remove(old)

    def _configure_logging(self, chosen: Config, *to_come: Config) -> None:
        """As `chosen` says. Whoever is alive, or is to be, may have its secrets in a line."""
        configs = [*(each.config for each in self._alive), *to_come]
        secrets = [one for each in configs for one in configured_secrets(each, self._environ)]
        configure_logging(chosen.log, secrets=secrets)


async def _give_way(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _until_ready(new: Application) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_say_that_it_waits, new)
        await new.until_ready()
        nursery.cancel_scope.cancel()


async def _say_that_it_waits(new: Application) -> None:
    pause_s = SAY_AFTER_S
    while True:
        await trio.sleep(pause_s)
        log.warning(
            "the running settings are still in use, the new ones wait",
            reason=new.readiness.reason(),
            errors={name: error for name, error in new.service.statistics().errors if error},
        )
        pause_s = min(2 * pause_s, SAY_EVERY_S)


async def _flush(old: Application) -> None:
    try:
        await old.service.shutdown()
    except PersistFailed as error:
        log.warning("change not in the manifests", reason=str(error))


def _runnable(running: Config, read: Config) -> Config:
    """`read`, but for what only a new process can have; that is logged."""
    kept: dict[str, Any] = {}
    for name in (field.name for field in fields(running.server)):
        before, after = getattr(running.server, name), getattr(read.server, name)
        tls_begins_or_ends = name == "tls_certificate" and (before is None) != (after is None)
        if after != before and (name not in CHANGES_LIVE or tls_begins_or_ends):
            setting = f"server.{name.removesuffix('_s')}"
            log.warning("takes effect when the process starts anew", setting=setting)
            kept[name] = before
    if "tls_certificate" in kept:
        kept |= {name: getattr(running.server, name) for name in ("tls_key", "tls_min_version")}
    return replace(read, server=replace(read.server, **kept))
