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

from parparchik.config import Loaded
from parparchik.config.model import Config, ServerConfig
from parparchik.errors import ConfigError, ParparchikError
from parparchik.registry import PersistFailed
from parparchik.server.log import access_lines, configure_logging, configured_secrets
from parparchik.server.plane import Plane
from parparchik.server.wire import Application, Process, build_application, build_s3

RETIRE_AT_LEAST_S = 1.0

CHANGES_LIVE = {
    *("shutdown_delay_s", "shutdown_grace_s"),
    *("tls_certificate", "tls_key", "tls_min_version"),
}
"""What of the server's settings may change while the process runs; of all others everything may."""


log = structlog.get_logger(__name__)


class Lives(Protocol):
    """Whoever answers, and can be given another application to answer for."""

    def renew_certificate(self, config: ServerConfig) -> None:
        """Raises ConfigError; then the one before stays."""
        ...

    async def install(self, application: Application) -> None:
        """Returns when it answers. Raises ParparchikError where it cannot; then the one before
        stays."""
        ...


class InProcess:
    """A plane of this process as what `Lives`."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def renew_certificate(self, config: ServerConfig) -> None:
        self._plane.renew_certificate(config)

    async def install(self, application: Application) -> None:
        await self._plane.install(application.config, application.answering)


class Reloader:
    """Keeps the present application, and changes it when asked to.

    `current` runs in `nursery` under `scope`. `reread` reads the settings; it may block.
    """

    def __init__(
        self,
        current: Application,
        scope: trio.CancelScope,
        process: Process,
        lives: Lives,
        *,
        reread: Callable[[], Loaded],
        environ: Mapping[str, str],
        nursery: trio.Nursery,
    ) -> None:
        self.current = current
        self._scope = scope
        self._process = process
        self._lives = lives
        self._reread = reread
        self._environ = environ
        self._nursery = nursery
        self._asked = trio.Event()

    def ask(self) -> None:
        """Settings are to be read; a reload that is under way gives way to this."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give_way, nursery.cancel_scope)
                await self._reload()
                nursery.cancel_scope.cancel()

    async def _give_way(self, scope: trio.CancelScope) -> None:
        await self._asked.wait()
        scope.cancel()

    async def _reload(self) -> None:
        try:
            loaded = await trio.to_thread.run_sync(self._reread)
            config = _runnable(self.current.config, loaded.config)
            s3 = build_s3(config, self._environ)
            self._lives.renew_certificate(config.server)
        except ConfigError as error:
            log.error("settings refused, the running ones stay", reason=str(error))  # noqa: TRY400
            return
        for warning in loaded.warnings:
            log.warning(warning)
        if config == self.current.config:
            log.info("settings unchanged")
            return
        lines = access_lines(config.log, secrets=configured_secrets(config, self._environ))
        await self._change(build_application(config, s3, self._process, lines))

    async def _change(self, new: Application) -> None:
        log.info("settings read, their application starts beside the running one")
        scope = await self._nursery.start(new.run)
        try:
            await new.until_ready()
            await self._lives.install(new)
        except ParparchikError as error:
            scope.cancel()
            log.error("settings refused, the running ones stay", reason=str(error))  # noqa: TRY400
            return
        except BaseException:
            scope.cancel()
            raise
        old, old_scope = self.current, self._scope
        self.current, self._scope = new, scope
        old.exposition.leave(self._process.earlier)
        both = [configured_secrets(each.config, self._environ) for each in (old, new)]
        configure_logging(new.config.log, secrets=[*both[0], *both[1]])
        buckets = {each.bucket.name: each.bucket.type for each in new.config.buckets}
        log.info("settings changed", buckets=buckets, verify=new.config.routes.verify)
        self._nursery.start_soon(self._retire, old, old_scope)

    async def _retire(self, old: Application, scope: trio.CancelScope) -> None:
        """Requests that it was asked before may still be under way, and need its tasks."""
        await _flush(old)
        s3 = old.config.s3
        await trio.sleep(max(RETIRE_AT_LEAST_S, s3.total_timeout_s, s3.probe_timeout_s))
        await _flush(old)
        scope.cancel()


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
