"""The life of the process: listen, answer, and end so that nothing is lost."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
import trio

from parparchik import __version__
from parparchik.cache import check_directory
from parparchik.config import Loaded
from parparchik.config.model import Config
from parparchik.registry import PersistFailed, Service
from parparchik.server.byte_rooms import CACHE_DIR
from parparchik.server.descriptors import (
    allot,
    descriptor_limit,
    raise_descriptor_limit,
    within_limit,
)
from parparchik.server.exposure import (
    exposed_buckets,
    exposure_banner,
    open_dedup_banner,
    writable_banner,
    writable_buckets,
)
from parparchik.server.listen import listen, url_of
from parparchik.server.log import access_lines, configure_logging, configured_secrets
from parparchik.server.progress import Show, report_progress
from parparchik.server.reload import Lives, Reloader
from parparchik.server.s3_rooms import build_s3
from parparchik.server.signals import obey_signals
from parparchik.server.wire import Application, Process, build_application, build_plane
from parparchik.server.workers import WorkerGroup, worker_count

FLUSH_AT_LEAST_S = 5.0
"""For the last change of the manifests, also where clients have used up the time for ending."""

log = structlog.get_logger(__name__)


class Answers(Protocol):
    """Accepts connections and answers their requests, in this process or in others."""

    @property
    def count(self) -> int: ...

    async def serve(
        self, sockets: Sequence[socket.socket], *, task_status: trio.TaskStatus[None]
    ) -> None: ...

    def stop_accepting(self) -> None: ...

    async def drain(self) -> None: ...

    def abort(self) -> None: ...


async def serve(
    config: Config,
    environ: Mapping[str, str],
    *,
    warnings: Sequence[str] = (),
    reread: Callable[[], Loaded] | None = None,
    on_ready: Callable[[Sequence[str]], object] | None = None,
    on_progress: Show | None = None,
    worker_command: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; returns when all is written and closed.

    `warnings` are logged first. `reread` reads the settings again, at SIGHUP; without it they
    stay. `on_ready` is called with the URLs listened on (with the real port where 0 was asked
    for) as soon as requests are taken: routes are served from then on, while the buckets are
    still being compared. `on_progress` is told how far that is; without it the log is.
    `worker_command` starts a worker process, where the settings want more than one.

    Raises ConfigError, and StoppedAtOnce (in an ExceptionGroup) at a second signal.
    """
    configure_logging(config.log, secrets=configured_secrets(config, environ))
    _introduce(config, warnings)
    raise_descriptor_limit()
    process = Process()

    def build(config: Config) -> Application:
        lines = access_lines(config.log, secrets=configured_secrets(config, environ))
        s3 = build_s3(within_limit(config) if alone else config, environ)
        return build_application(config, s3, process, lines, keeps_objects=alone)

    alone = worker_count(config.server) == 1
    application = build(config)
    answers: Answers
    lives: Lives
    if alone:
        fitting = allot(config, descriptor_limit()).of(config)
        answers = lives = build_plane(fitting.server, application, process)
        if application.directory is not None:
            await check_directory(application.directory, CACHE_DIR)
    else:
        answers = lives = group = WorkerGroup(worker_command, application, environ)
        await group.claim_directory()
    sockets = await listen(config.server, environ)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        process.peers.use(config)
        nursery.start_soon(process.supervisor.run, "cache peers", process.peers.run)
        scope = await nursery.start(application.run)
        reloader = Reloader(
            *(application, scope, process, lives),
            reread=reread or (lambda: Loaded(config)),
            build=build,
            environ=environ,
            nursery=nursery,
        )
        await nursery.start(obey_signals, stop, reloader.ask)
        nursery.start_soon(reloader.run, stop)
        nursery.start_soon(report_progress, application.service, on_progress)
        urls = [url_of(config.server, each) for each in sockets]

        def tell() -> None:
            log.info("listening", urls=urls)
            if on_ready is not None:
                on_ready(urls)

        await answer_until(stop, answers, lambda: reloader.alive, sockets, on_start=tell)
        nursery.cancel_scope.cancel()
    log.info("stopped")


def _introduce(config: Config, warnings: Sequence[str]) -> None:
    buckets = {each.bucket.name: each.bucket.type for each in config.buckets}
    log.info("parparchik", version=__version__, buckets=buckets, verify=config.routes.verify)
    for warning in warnings:
        log.warning(warning)
    if exposed := exposed_buckets(config):
        log.warning(
            "private buckets are open to everybody", banner=exposure_banner(config, exposed)
        )
    if writable := writable_buckets(config):
        log.warning("buckets can be written by everybody", banner=writable_banner(config, writable))
    if banner := open_dedup_banner(config):
        log.warning("the dedup store can be written by everybody", banner=banner)


async def answer_until(
    stop: trio.Event,
    answers: Answers,
    alive: Callable[[], Sequence[Application]],
    sockets: Sequence[socket.socket],
    *,
    on_start: Callable[[], object] = lambda: None,
) -> None:
    """Answer requests until `stop` is set, then end in order, as the settings of the last of the
    applications that are `alive` say, and write the last change of each. Closes the sockets.
    `on_start` is called when requests are taken."""
    deadline = trio.current_time()
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(answers.serve, sockets)
            on_start()
            await stop.wait()
            current = alive()[-1]
            current.readiness.stop()
            settings = current.config.server
            await trio.sleep(settings.shutdown_delay_s)
            answers.stop_accepting()
            for each in sockets:
                each.close()
            deadline = trio.current_time() + settings.shutdown_grace_s
            with trio.move_on_at(deadline) as grace:
                await answers.drain()
            if grace.cancelled_caught:
                log.warning(
                    "connections cut", count=answers.count, after_s=settings.shutdown_grace_s
                )
        finally:
            # Only closing ends a write that Hypercorn shields from cancellation.
            answers.abort()
            for each in sockets:
                each.close()
            nursery.cancel_scope.cancel()
    for application in alive():  # not at once: they write the same manifests
        left_s = max(deadline - trio.current_time(), 0.0)
        await _write_last_change(application.service, left_s)


async def _write_last_change(service: Service, left_s: float) -> None:
    with trio.move_on_after(max(left_s, FLUSH_AT_LEAST_S)) as limit:
        try:
            await service.shutdown()
        except PersistFailed as error:
            log.error("last change not in the manifests", reason=str(error))  # noqa: TRY400
    if limit.cancelled_caught:
        log.error("last change not in the manifests", reason="S3 did not answer in time")
