"""The parent of a group as a process of its own: what `parparchik serve` does, and no more.

Its environment is that of `parparchik serve`. At SIGHUP workers change to a new application.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import structlog
import trio

from parparchik.config import load
from parparchik.server import build_s3, configure_logging, configured_secrets
from parparchik.server.listen import listen, url_of
from parparchik.server.serve import answer_until
from parparchik.server.signals import obey_signals
from parparchik.server.wire import Application, Process, build_application
from parparchik.server.workers import WorkerGroup

log = structlog.get_logger(__name__)


async def main(count: int) -> None:
    config = load(os.environ).config
    config = replace(config, server=replace(config.server, workers=count))
    configure_logging(config.log, secrets=configured_secrets(config, os.environ))
    process = Process()

    def build() -> Application:
        s3 = build_s3(config, os.environ)
        return build_application(config, s3, process, keeps_objects=False)

    application = build()
    command = [sys.executable, "-m", "parparchik", "worker"]
    group = WorkerGroup(command, application, os.environ)
    sockets = await listen(config.server, os.environ)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def change() -> None:
            new = build()
            await nursery.start(new.run)
            await new.until_ready()
            await group.install(new)
            log.info("changed")

        await nursery.start(application.run)
        await nursery.start(obey_signals, stop, lambda: nursery.start_soon(change))
        log.info("listening", urls=[url_of(config.server, each) for each in sockets])
        await answer_until(stop, group, lambda: [application], sockets)
        nursery.cancel_scope.cancel()
    log.info("stopped")


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    trio.run(main, int(sys.argv[1]))
