"""The life of a server process: listen, run the background tasks, answer, and end in order.

At the first signal to stop, readiness says so, nothing new is accepted, what is being answered
gets the configured time, and the last change of the manifests is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
import trio

from parparchik import __version__
from parparchik.config.model import Config
from parparchik.registry import PersistFailed, Service
from parparchik.server.exposure import exposed_buckets, exposure_banner
from parparchik.server.hypercorn import HypercornConnections
from parparchik.server.listen import listen, url_of
from parparchik.server.log import access_lines, configure_logging, configured_secrets
from parparchik.server.progress import Show, report_progress
from parparchik.server.signals import obey_signals
from parparchik.server.supervise import Supervisor
from parparchik.server.wire import Application, build_application, build_s3

FLUSH_AT_LEAST_S = 5.0
"""For the last change of the manifests, also where clients have used up the time for ending."""

log = structlog.get_logger(__name__)


async def serve(
    config: Config,
    environ: Mapping[str, str],
    *,
    warnings: Sequence[str] = (),
    on_ready: Callable[[Sequence[str]], object] | None = None,
    on_progress: Show | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; returns when all is written and closed.

    `warnings` are logged first. `on_ready` is called with the URLs listened on (with the real
    port where 0 was asked for) as soon as requests are taken: routes are served from then on,
    while the buckets are still being compared. `on_progress` is told how far that is; without it
    the log is.

    Raises ConfigError, and StoppedAtOnce (in an ExceptionGroup) at a second signal.
    """
    configure_logging(config.log, secrets=configured_secrets(config, environ))
    _introduce(config, warnings)
    supervisor = Supervisor()
    lines = access_lines(config.log, secrets=configured_secrets(config, environ))
    application = build_application(config, build_s3(config, environ), supervisor, lines)
    listeners = await listen(config.server)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(obey_signals, stop)
        for name, task in application.tasks:
            nursery.start_soon(supervisor.run, name, task)
        nursery.start_soon(report_progress, application.service, on_progress)
        urls = [url_of(listener) for listener in listeners]
        log.info("listening", urls=urls)
        if on_ready is not None:
            on_ready(urls)
        await answer_until(stop, application, listeners, config.server.shutdown_grace_s)
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


async def answer_until(
    stop: trio.Event,
    application: Application,
    listeners: Sequence[trio.SocketListener],
    grace_s: float,
) -> None:
    """Answer requests until `stop` is set, end within `grace_s`, and write the last change."""
    connections = HypercornConnections(application.app)
    async with trio.open_nursery() as handlers:
        try:
            async with trio.open_nursery() as accepting:
                accept = partial(trio.serve_listeners, handler_nursery=handlers)
                accepting.start_soon(accept, connections.serve, listeners)
                await stop.wait()
                application.readiness.stop()
                accepting.cancel_scope.cancel()
            deadline = trio.current_time() + grace_s
            with trio.move_on_at(deadline) as grace:
                await connections.drain()
            if grace.cancelled_caught:
                log.warning("connections cut", count=connections.count, after_s=grace_s)
        finally:
            # Only closing ends a write that Hypercorn shields from cancellation.
            connections.abort()
            handlers.cancel_scope.cancel()
    await _write_last_change(application.service, max(deadline - trio.current_time(), 0.0))


async def _write_last_change(service: Service, left_s: float) -> None:
    with trio.move_on_after(max(left_s, FLUSH_AT_LEAST_S)) as limit:
        try:
            await service.shutdown()
        except PersistFailed as error:
            log.error("last change not in the manifests", reason=str(error))  # noqa: TRY400
    if limit.cancelled_caught:
        log.error("last change not in the manifests", reason="S3 did not answer in time")
